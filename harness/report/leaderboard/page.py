"""Writes the leaderboard: Markdown for terminals and pull requests, CSV for scripts, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records.csv_text import csv_text
from harness.records.files import replace_file
from harness.report.charts.palette import arm_colour
from harness.report.leaderboard.board import RANKED_TOGETHER, Leaderboard, Run, kind_of
from harness.report.leaderboard.headline import (
    TITLES,
    estimate,
    headline,
    legend,
    pace_warnings,
    plain,
    records,
    varying,
    who,
)
from harness.report.leaderboard.k_charts import k_charts
from harness.report.names import NONE, arm_name, clean, is_control, known, number, percent, span, times
from harness.report.page.headline import DISTURBED
from harness.report.page.render import render
from harness.report.page.tables import Cell, Line, Table, accuracy_cell, speedup_cell, verdict_cell
from harness.vocabulary import ALL

NAME = "leaderboard"
FLOOR_TITLES = {
    "strength": "Strength",
    "baseline_strength": "Baseline’s strength",
    "speedup_at_floor": "Speedup at the floor",
}
UNPAIRED = (
    "Each speedup is paired with the baseline of its own run. Rows of different runs are not paired with each other: "
    "where their intervals overlap, run both arms in one run to tell them apart."
)


def write_leaderboard(board: Leaderboard, folder: Path) -> list[Path]:
    """Write leaderboard.md, .csv, .html and, if k varies, charts as PNG; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = k_charts(board)
    contents: dict[str, bytes] = {
        f"{NAME}.md": markdown(board).encode("utf-8", "replace"),
        f"{NAME}.csv": csv_text(board.rows).encode("utf-8"),
        **{f"{chart.name}.png": chart.png for chart in charts.values()},
    }
    page = render(
        "leaderboard.html.jinja",
        headline=headline(board),
        legend=legend(board),
        notes=notes(board),
        differences=board.differences,
        tables=tables(board),
        charts=charts,
        runs=[(run.label, str(run.folder)) for run in board.runs],
        unpaired=UNPAIRED,
        groups=board.groups,
        synthetic=board.synthetic,
    )
    contents[f"{NAME}.html"] = page.encode("utf-8", "replace")
    for name, content in contents.items():
        replace_file(folder / name, content)
    return [folder / name for name in contents]


def notes(board: Leaderboard) -> list[str]:
    """Sentences on differences that spoil the comparison, on doubts, and on rows that do not count."""
    said = [*map(str, board.differences), *pace_warnings(board)]
    said += [f"{run.label}: nothing is committed yet" for run in board.runs if not run.summary["rows"]]
    wrong = board.overall[board.overall["verdict_mismatch"].fillna(0) > 0]
    for run, arm in zip(wrong["run"], wrong["arm"], strict=True):
        said.append(f"{clean(run)}: {arm_name(clean(arm))} does not reproduce the target’s output, its speed is void")
    for run in board.runs:
        for guard in run.summary.get("guards") or []:
            if _spoils(run, guard):
                arm = f"{arm_name(clean(guard['arm']))}, " if guard.get("arm") else ""
                said.append(f"{run.label}: {arm}{guard['code']}: {guard['message']}")
    return [clean(text) for text in said]


def _spoils(run: Run, guard: Mapping[str, Any]) -> bool:
    """Whether a guard of a run affects the ranking. A mismatch has a sentence of its own."""
    if guard["code"] in DISTURBED:
        return True
    whole = guard.get("category") in (None, ALL) and not (guard.get("arm") and is_control(kind_of(run, guard["arm"])))
    return whole and guard["severity"] == "error" and guard["code"] != "mismatch"


def markdown(board: Leaderboard) -> str:
    """Warnings, the table over all categories, best k, and the drafters of each run against each other."""
    verdict = headline(board)
    lines = [f"# {_md(verdict.title)}", "", *(f"{_md(text)}  " for text in legend(board)), ""]
    if board.synthetic:
        share = f"{len(board.synthetic)} of {len(board.runs)} runs"
        lines += [f"**SYNTHETIC**: {share}, which measured no drafter.", ""]
    lines += [f"- {_md(text)}" for text in verdict.sentences]
    lines += [f"- warning: {_md(text)}" for text in notes(board)]
    lines.append("")
    for heading, table, first in tables(board):
        titles = [first, *(name for name, _ in table.columns)]
        lines += [f"## {heading}", "", _md_row(titles), _md_row(["---", *["---:"] * len(table.columns)])]
        for line in table.lines:
            label = f"{line.label} {line.mark}".strip()
            lines.append(
                _md_row([label, *(f"{c.text} ({_one_line(c.small)})" if c.small else c.text for c in line.cells)])
            )
        lines.append("")
    return "\n".join([*lines, UNPAIRED, ""])


def tables(board: Leaderboard) -> list[tuple[str, Table, str]]:
    """(heading, table, title of its first column) of each table that has lines."""
    made = [
        ("Leaderboard", _rows_table(board, controls=False), "Arm"),
        ("Controls, not ranked", _rows_table(board, controls=True), "Arm"),
        ("Best k", _best_table(board), "Category"),
        ("Head to head, within one run", _pairs_table(board), "Arms"),
    ]
    return [(heading, table, first) for heading, table, first in made if table.lines]


def _rows_table(board: Leaderboard, *, controls: bool) -> Table:
    rows = board.overall[board.overall["kind"].map(is_control) == controls]
    differing = varying(rows, [*RANKED_TOGETHER, "temperature"])
    scored = rows["accuracy"].notna().any()
    columns = [*(TITLES[name] for name in differing), "Speedup", "Same output?", "End to end", "Tokens/round"]
    together = ["throughput_tok_s"] if (rows["batch_size"] > 1).any() else []
    columns += ["Drafts accepted", "Tokens/s", *(["Tokens/s, all rows"] if together else [])]
    columns += [*(["Accuracy"] if scored else []), "Prompts", "Run"]
    floors = [name for name in FLOOR_TITLES if rows[name].notna().any()]
    columns[-2:-2] = [FLOOR_TITLES[name] for name in floors]
    lines = []
    for row in records(rows):
        void = bool(known(row["verdict_mismatch"]) and row["verdict_mismatch"])
        cells = [Cell(plain(row[name])) for name in differing]
        cells += [speedup_cell(row), verdict_cell(row), Cell(times(row["speedup_end_to_end"]))]
        cells += [Cell(number(row["acceptance_length"])), Cell(percent(row["acceptance_rate"]))]
        cells += [Cell(number(row[name], 1)) for name in ("decode_tok_s", *together)]
        cells += [accuracy_cell(row)] if scored else []
        cells += [Cell((times if name == "speedup_at_floor" else number)(row[name])) for name in floors]
        cells += [Cell(number(row["paired_prompts"], 0))]
        cells += [Cell(clean(row["run"]), "synthetic" if row["synthetic"] else "")]
        lines.append(_line(row["arm"], row["num_draft_tokens"], cells, void))
    return Table(tuple((name, "") for name in columns), tuple(lines))


def _best_table(board: Leaderboard) -> Table:
    """The best k: categories down, arms across, with the other k that are as good."""
    best = board.best
    differing = varying(best, RANKED_TOGETHER)
    arms = {arm: is_control(kind) for arm, kind in zip(best["arm"], best["kind"], strict=True)}
    lines = []
    for _, own in best.groupby([*RANKED_TOGETHER, "category"], sort=False):
        found = {row["arm"]: row for row in records(own)}
        first = next(iter(found.values()))
        label = "all categories" if first["category"] == ALL else clean(first["category"])
        where = ", ".join(f"{TITLES[name].lower()} {plain(first[name])}" for name in differing)
        lines.append(Line(label, "", tuple(_best_cell(found.get(arm)) for arm in arms), where))
    titles = (f"{arm_name(clean(arm))}{', a control' if control else ''}" for arm, control in arms.items())
    return Table(tuple((title, "") for title in titles), tuple(lines))


def _best_cell(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell(NONE)
    if not known(row["speedup_decode_low"]):
        # Without an interval no k is better than another: the highest figure is no choice.
        said = f"tried {row['tried']}\nhighest at k = {row['best_k']}: {estimate(row)}"
        return Cell("too few prompts", said, "quiet")
    said = f"{times(row['speedup_decode'])}, {span(row['speedup_decode_low'], row['speedup_decode_high'])}"
    said += f"\nas good: {row['as_good']}" if row["as_good"] else ""
    return Cell(f"k = {row['best_k']}", said, "" if is_control(row["kind"]) else "best")


def _pairs_table(board: Leaderboard) -> Table:
    differing = varying(board.pairs, ["group", "dataset", "batch_size"])
    names = [*(TITLES[name] for name in differing), "Times as fast", "Verdict", "Prompts", "Run"]
    lines = []
    for row in records(board.pairs):
        words = str(row["speedup_decode_words"] or "not distinguishable")
        tone = {"faster": "good", "slower": "bad", "void": "bad"}.get(words, "quiet")
        interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
        cells = [*(Cell(plain(row[name])) for name in differing), Cell(times(row["speedup_decode"]), interval)]
        cells += [Cell(words, tone=tone), Cell(number(row["paired_prompts"], 0)), Cell(clean(row["run"]))]
        other = who(row["other"], row["other_num_draft_tokens"])
        line = _line(row["arm"], row["num_draft_tokens"], cells)
        lines.append(Line(line.label, line.colour, line.cells, f"{line.mark} against {other}"))
    return Table(tuple((name, "") for name in names), tuple(lines))


def _line(arm: object, k: object, cells: Sequence[Cell], void: bool = False) -> Line:
    mark = f"k = {k}" if k else ""
    return Line(arm_name(clean(arm)), arm_colour(str(arm)), tuple(cells), mark, void)


def _one_line(text: str) -> str:
    return text.replace("\n", "; ")


def _md(text: str) -> str:
    """`text` on one line, escaped so that it neither ends a Markdown cell nor becomes markup."""
    escaped = " ".join(text.split())
    for character in "\\|<`*_[~&":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped


def _md_row(cells: Sequence[str]) -> str:
    plain = [cell if set(cell) <= {"-", ":"} else _md(cell) for cell in cells]
    return f"| {' | '.join(plain)} |"
