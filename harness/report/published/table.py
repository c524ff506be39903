"""The console's view of a run beside published figures: an arm a row, a metric a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.metrics.summary import overall
from harness.report.published.catalogue import METRICS, beside, read_metrics, read_published
from harness.vocabulary import BASELINE

MIN_WIDTH = 130
NOT_IN_MAIN_TABLE = {"seconds_for_2048", "extra_memory_gb"}


def render(summary: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    """Ours, then in brackets each published figure and how many times it ours is."""
    compared = beside(summary, figures)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("configuration", no_wrap=True)
    for metric in metrics:
        table.add_column(METRICS[metric][0])
    for row in overall(summary):
        name = row["arm"] if row["arm"] == BASELINE else f"{row['arm']} k={row['num_draft_tokens']}"
        name += " (synthetic)" if row.get("synthetic") else ""
        table.add_row(escape(name), *(escape(_cell(row, metric, compared)) for metric in metrics))
    return table


def _cell(row: Mapping[str, Any], metric: str, compared: Sequence[Mapping[str, Any]]) -> str:
    unit, ours = METRICS[metric][1], METRICS[metric][2](row)
    mine = "-" if ours is None else f"{ours:.2f}{unit}"
    theirs = [
        f"{_label(figure)} {figure['value']:g}{unit}" + ("" if figure["ratio"] is None else f": {figure['ratio']:.2f}x")
        for figure in compared
        if (figure["arm"], figure["metric"], figure["category"]) == (row["arm"], metric, "all")
    ]
    return mine + (f" ({'; '.join(theirs)})" if theirs else "")


def _label(figure: Mapping[str, Any]) -> str:
    others = [word for word in figure["differs"] if not word.startswith("target")]
    return ", ".join([str(figure["label"]), *others])


def print_published(summary: Mapping[str, Any], run_dir: Path, console: Console | None = None) -> None:
    """The table and its sources on stdout; nothing where it would only repeat the table of the arms."""
    figures, metrics = read_published(run_dir), read_metrics(run_dir)
    if not figures and not NOT_IN_MAIN_TABLE & set(metrics):
        return
    console = console or Console()
    console = console if console.width >= MIN_WIDTH or console.is_terminal else Console(width=MIN_WIDTH)
    console.print(render(summary, figures, metrics))
    for source in dict.fromkeys(str(figure["source"]) for figure in figures):
        console.print(f"published: {source}", markup=False, highlight=False, soft_wrap=True)
