"""The leaderboard as Markdown for a terminal or a pull request, as CSV for scripts, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.leaderboard import Leaderboard
from harness.leaderboard_charts import k_charts
from harness.metrics import ALL
from harness.report.names import NONE, arm_name, clean, known, number, percent, span, times
from harness.report.page import render
from harness.report.palette import arm_colour
from harness.report.tables import Cell, Line, Table, speedup_cell, verdict_cell
from harness.run_files import replace_file

NAME = "leaderboard"
CELL = ["group", "dataset", "batch_size"]
UNPAIRED = (
    "Each speedup is paired with the baseline of its own run. Rows of different runs are not paired with each other: "
    "where their intervals overlap, run both arms in one run to tell them apart."
)


def write_leaderboard(board: Leaderboard, folder: Path) -> list[Path]:
    """Write leaderboard.md, .csv, .html and, where k varies, its charts as PNG; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = k_charts(board)
    contents: dict[str, bytes] = {
        f"{NAME}.md": markdown(board).encode("utf-8", "replace"),
        f"{NAME}.csv": board.rows.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace"),
        **{f"{chart.name}.png": chart.png for chart in charts.values()},
    }
    page = render(
        "leaderboard.html.jinja",
        title=title(board),
        notes=notes(board),
        leaders=leaders(board),
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


def title(board: Leaderboard) -> str:
    """Who leads, where one group is all there is."""
    led = _competing(board)
    if led.empty or led[CELL].drop_duplicates().shape[0] > 1:
        return f"{len(board.runs)} runs, {len(board.overall)} rows"
    first = led.iloc[0]
    said = f"{_who(first['arm'], first['num_draft_tokens'])} leads with {times(first['speedup_decode'])}"
    return f"Synthetic: {said}" if first["synthetic"] else said


def leaders(board: Leaderboard) -> list[str]:
    """Each arm at its best, one sentence per group, dataset and batch size."""
    said = []
    led = _competing(board)
    varying = _varying(led, CELL)
    for _, own in led.groupby(CELL, sort=False):
        best = own.drop_duplicates("arm")
        parts = []
        for row in _records(best):
            interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
            who = _who(row["arm"], row["num_draft_tokens"])
            parts.append(f"{who}: {times(row['speedup_decode'])} ({'no interval' if interval == NONE else interval})")
        first = own.iloc[0]
        where = ", ".join(f"{_title(name).lower()} {_plain(first[name])}" for name in varying)
        said.append(f"{where}: {'; '.join(parts)}" if where else "; ".join(parts))
    return [f"{text[:1].upper()}{text[1:]}" for text in said]


def _competing(board: Leaderboard) -> pd.DataFrame:
    """Rows over all categories that may lead."""
    rows = board.overall
    void = (rows["verdict_mismatch"].fillna(0) > 0) | rows["speedup_decode"].isna()
    return rows[~void & ~rows["kind"].isin(["oracle", "random", "synthetic"])]


def notes(board: Leaderboard) -> list[str]:
    """What spoils the comparison, one sentence per difference, and rows that do not count."""
    said = [f"{difference}" for difference in board.differences]
    wrong = board.overall[board.overall["verdict_mismatch"].fillna(0) > 0]
    for run, arm in zip(wrong["run"], wrong["arm"], strict=True):
        said.append(f"{clean(run)}: {arm_name(clean(arm))} does not reproduce the target’s output, its speed is void")
    return [clean(text) for text in said]


def markdown(board: Leaderboard) -> str:
    """Warnings, the table over all categories, best k, and the drafters of each run against each other."""
    lines = [f"# {_md(title(board))}", ""]
    if board.synthetic:
        share = f"{len(board.synthetic)} of {len(board.runs)} runs"
        lines += [f"**SYNTHETIC**: {share}, which measured no drafter.", ""]
    lines += [f"- {_md(text)}" for text in leaders(board)]
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
    """(heading, table, title of its first column), empty ones left out."""
    made = [
        ("Leaderboard", _rows_table(board), "Arm"),
        ("Best k", _best_table(board), "Category"),
        ("Head to head, within one run", _pairs_table(board), "Arms"),
    ]
    return [(heading, table, first) for heading, table, first in made if table.lines]


def _rows_table(board: Leaderboard) -> Table:
    rows = board.overall
    varying = _varying(rows, ("group", "dataset", "batch_size", "temperature"))
    filled = [name for name in ("accuracy",) if rows[name].notna().any()]
    columns = [*(_title(name) for name in varying), "Speedup", "Same output?", "End to end", "Tokens/round"]
    together = ["throughput_tok_s"] if (rows["batch_size"] > 1).any() else []
    columns += ["Drafts accepted", "Tokens/s", *(["Tokens/s, all rows"] if together else [])]
    columns += [*(["Accuracy"] if filled else []), "Prompts", "Run"]
    lines = []
    for row in _records(rows):
        void = bool(known(row["verdict_mismatch"]) and row["verdict_mismatch"])
        cells = [Cell(_plain(row[name])) for name in varying]
        cells += [speedup_cell(row), verdict_cell(row), Cell(times(row["speedup_end_to_end"]))]
        cells += [Cell(number(row["acceptance_length"])), Cell(percent(row["acceptance_rate"]))]
        cells += [Cell(number(row[name], 1)) for name in ("decode_tok_s", *together)]
        cells += [Cell(percent(row[name])) for name in filled]
        cells += [Cell(number(row["prompts"], 0)), Cell(clean(row["run"]), "synthetic" if row["synthetic"] else "")]
        lines.append(_line(row["arm"], row["num_draft_tokens"], cells, void))
    return Table(tuple((name, "") for name in columns), tuple(lines))


def _best_table(board: Leaderboard) -> Table:
    """Categories down, arms across; the other values of k that the interval does not exclude beneath."""
    best = board.best
    varying = _varying(best, CELL)
    arms = list(dict.fromkeys(best["arm"]))
    lines = []
    for _, own in best.groupby([*CELL, "category"], sort=False):
        found = {row["arm"]: row for row in _records(own)}
        first = next(iter(found.values()))
        label = "all categories" if first["category"] == ALL else clean(first["category"])
        where = ", ".join(f"{_title(name).lower()} {_plain(first[name])}" for name in varying)
        lines.append(Line(label, "", tuple(_best_cell(found.get(arm)) for arm in arms), where))
    return Table(tuple((arm_name(clean(arm)), "") for arm in arms), tuple(lines))


def _best_cell(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell(NONE)
    interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
    said = [f"{times(row['speedup_decode'])}, {'no interval' if interval == NONE else interval}"]
    said += [f"as good: {row['as_good']}"] if row["as_good"] else []
    return Cell(f"k = {row['best_k']}", "\n".join(said), "best")


def _pairs_table(board: Leaderboard) -> Table:
    varying = _varying(board.pairs, CELL)
    names = [*(_title(name) for name in varying), "Times as fast", "", "Prompts", "Run"]
    lines = []
    for row in _records(board.pairs):
        words = str(row["speedup_decode_words"] or "not distinguishable")
        tone = {"faster": "good", "slower": "bad", "void": "bad"}.get(words, "quiet")
        interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
        cells = [*(Cell(_plain(row[name])) for name in varying), Cell(times(row["speedup_decode"]), interval)]
        cells += [Cell(words, tone=tone), Cell(number(row["paired_prompts"], 0)), Cell(clean(row["run"]))]
        other = _who(row["other"], row["other_num_draft_tokens"])
        line = _line(row["arm"], row["num_draft_tokens"], cells)
        lines.append(Line(line.label, line.colour, line.cells, f"{line.mark} against {other}"))
    return Table(tuple((name, "") for name in names), tuple(lines))


def _line(arm: object, k: object, cells: Sequence[Cell], void: bool = False) -> Line:
    mark = f"k = {k}" if k else ""
    return Line(arm_name(clean(arm)), arm_colour(str(arm)), tuple(cells), mark, void)


def _who(arm: object, k: object) -> str:
    return f"{arm_name(clean(arm))} at k = {k}"


def _varying(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if table[name].nunique(dropna=False) > 1]


def _title(name: str) -> str:
    return {"batch_size": "Batch", "dataset": "Dataset", "group": "Group", "temperature": "Temperature"}[name]


def _plain(value: object) -> str:
    return NONE if value is None else f"{value:g}" if isinstance(value, float) else clean(value)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values, unknown ones None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _one_line(text: str) -> str:
    return text.replace("\n", "; ")


def _md(text: str) -> str:
    """`text` on one line of Markdown, where it neither ends a cell nor becomes markup."""
    escaped = " ".join(text.split())
    for character in "\\|<`*_[":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped


def _md_row(cells: Sequence[str]) -> str:
    plain = [cell if set(cell) <= {"-", ":"} else _md(cell) for cell in cells]
    return f"| {' | '.join(plain)} |"
