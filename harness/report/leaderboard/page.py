"""Writes the leaderboard: Markdown for terminals and pull requests, CSV for scripts, and a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.metrics.summary import overall
from harness.records.csv_text import csv_text
from harness.records.files import REPORT, replace_file
from harness.report.charts.cards import CardBar, card
from harness.report.charts.drawing import Chart, drawing
from harness.report.charts.palette import arm_colour
from harness.report.leaderboard.batches import pareto_charts
from harness.report.leaderboard.board import Leaderboard, Run, kind_of
from harness.report.leaderboard.conditions import date_of
from harness.report.leaderboard.headline import competing, headline, legend, pace_warnings, records, who
from harness.report.leaderboard.k_charts import k_charts
from harness.report.leaderboard.tables import BATCHES, BEST, CONTROLS, PAIRS, RANKING, tables
from harness.report.names import arm_name, clean, is_control, listed, number
from harness.report.page.headline import DISTURBED
from harness.report.page.render import render
from harness.report.places import without_places
from harness.vocabulary import ALL, BASELINE

NAME = "leaderboard"
CARD = f"{NAME}_card.png"
UNPAIRED = (
    "Each speedup is paired with the baseline of its own run. Rows of different runs are not paired with each other: "
    "where their intervals overlap, run both arms in one run to tell them apart."
)


def write_leaderboard(board: Leaderboard, folder: Path, url: str = "") -> list[Path]:
    """Write leaderboard.md, .csv, .html with its card, and charts as PNG if k or the batch size varies.

    Returns their paths. `url` is empty, or the folder on the web where the page will lie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    charts = leaderboard_charts(board)
    links = run_links(board, folder)
    contents: dict[str, bytes] = {
        f"{NAME}.md": markdown(board).encode("utf-8", "replace"),
        f"{NAME}.csv": csv_text(board.rows).encode("utf-8"),
        **{f"{chart.name}.png": chart.png for chart in charts.values()},
        CARD: draw_card(board),
    }
    page = render(
        "leaderboard.html.jinja",
        headline=headline(board),
        legend=legend(board),
        notes=notes(board),
        tables=tables(board, links),
        charts=charts,
        card=f"{url}{CARD}",
        runs=[(clean(run.label), links.get(run.label, ""), summed_up(run)) for run in board.runs],
        unpaired=UNPAIRED,
        names={"RANKING": RANKING, "BEST": BEST, "BATCHES": BATCHES},
        short={CONTROLS: "Controls", BATCHES: "Batch size", PAIRS: "Head to head"},
        groups=board.groups,
        synthetic=board.synthetic,
    )
    contents[f"{NAME}.html"] = page.encode("utf-8", "replace")
    for name, content in contents.items():
        replace_file(folder / name, content)
    return [folder / name for name in contents]


def leaderboard_charts(board: Leaderboard) -> dict[str, Chart]:
    """Every chart of the leaderboard that has data, by name."""
    with drawing(board.synthetic):
        return {**k_charts(board), **pareto_charts(board)}


def run_links(board: Leaderboard, folder: Path) -> dict[str, str]:
    """The page of each run that has one, relative to `folder`, as a URL by the run's label."""
    return {
        run.label: quote(Path(os.path.relpath(run.folder / REPORT, folder.resolve())).as_posix())
        for run in board.runs
        if (run.folder / REPORT).exists()
    }


def summed_up(run: Run) -> str:
    """A run in one line: its arms with k, batch size, prompts and date."""
    rows = overall(run.summary)
    arms = [f"{arm_name(clean(row['arm']))} k={row['num_draft_tokens']}" for row in rows if row["arm"] != BASELINE]
    sizes = sorted({int(row["batch_size"]) for row in rows})
    prompts = max((int(row.get("prompts") or 0) for row in rows), default=0)
    parts = [", ".join(arms), f"batch {listed([str(size) for size in sizes])}" if sizes != [1] and sizes else ""]
    parts += [f"{number(prompts, 0)} prompt{'' if prompts == 1 else 's'}", date_of(run.manifest)]
    return " · ".join(filter(None, parts))


def draw_card(board: Leaderboard) -> bytes:
    """The card of the leaderboard as PNG: its verdict, and every arm at its best."""
    verdict = headline(board)
    first = records(competing(board).drop_duplicates(["group", "arm"]))
    bars = [
        CardBar(
            who(row["arm"], row["num_draft_tokens"]),
            row["speedup_decode"],
            row["speedup_decode_low"],
            row["speedup_decode_high"],
            arm_colour(str(row["arm"]), place),
        )
        for place, row in enumerate(first)
    ]
    setting = legend(board)[0] if len(board.groups) == 1 else f"{len(board.groups)} groups that are not comparable"
    runs = f"{len(board.runs)} run{'' if len(board.runs) == 1 else 's'}"
    return card(verdict.title, [f"{runs} · {setting}"], bars if len(board.groups) == 1 else [], verdict.tone)


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
                said.append(f"{run.label}: {arm}{guard['code']}: {without_places(str(guard['message']))}")
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
