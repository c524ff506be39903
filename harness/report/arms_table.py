"""The console's table of arms: as many columns as the terminal is wide, and no cell cut.

Columns have a rank; those of the smallest ranks come first while they fit. The full table is a row's width of a log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rich.table import Table
from rich.text import Text

from harness.metrics.statistics import MIN_PROMPTS
from harness.metrics.summary import SummaryRow, overall
from harness.report.floor_words import strength_text
from harness.report.names import confidence_text, in_ascii, is_control, known, number, percent, span, times
from harness.vocabulary import BASELINE, MISMATCH, VERDICTS

Thing = TypeVar("Thing")
GAP = 2  # blanks between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `rank` 0 is always shown; `text` makes a row's cell, `shown` says whether any row has a figure."""

    title: str
    rank: int
    text: Callable[[SummaryRow], str]
    shown: Callable[[SummaryRow], bool] = lambda row: True
    justify: Literal["left", "right"] = "right"


def of_drafters(text: Callable[[SummaryRow], str]) -> Callable[[SummaryRow], str]:
    """`text`, and nothing in the baseline's row."""
    return lambda row: "" if row["arm"] == BASELINE else text(row)


def figure(name: str, digits: int = 2) -> Callable[[SummaryRow], str]:
    return lambda row: number(row.get(name), digits)


def speedup(row: SummaryRow) -> str:
    return "1.00x" if row["arm"] == BASELINE else times(row.get("speedup_decode"))


def interval(row: SummaryRow) -> str:
    """The interval of a decode speedup, with `n.d.` if it includes 1; else why there is none."""
    low, high = row.get("speedup_decode_low"), row.get("speedup_decode_high")
    if low is None or high is None:
        return "too few prompts" if (row.get("paired_prompts") or 0) < MIN_PROMPTS else "no interval"
    return span(low, high) + (" n.d." if low <= 1.0 <= high else "")


def verdict(row: SummaryRow) -> str:
    """Failed generations, then the count of each verdict from the worst on. A synthetic run claims none."""
    if row["arm"] == BASELINE:
        return "reference"
    counts = [(name, row.get(f"verdict_{name}") or 0) for name in VERDICTS]
    texts = [f"{count} {name.upper() if name == MISMATCH else name}" for name, count in counts if count]
    if row.get("errors"):
        texts.insert(0, f"{row['errors']} failed")
    if row.get("synthetic") and row.get("generations"):
        texts[-1] = "not claimed"
    return ", ".join(texts) or "nothing decoded"


def accuracy(row: SummaryRow) -> str:
    """The mean score, with the number of scored generations if some have no score."""
    scored = row.get("scored")
    beside_it = f" of {scored}" if scored and scored != row.get("generations") else ""
    return in_ascii(percent(row.get("accuracy"))) + beside_it


def strength_is_known(row: SummaryRow) -> bool:
    return known(row.get("strength"))


INTERVAL = "interval"
COLUMNS = (
    Column("arm", 0, lambda row: str(row["arm"]), justify="left"),
    Column("k", 0, of_drafters(lambda row: str(row["num_draft_tokens"]))),
    Column("tok/s", 0, figure("decode_tok_s", 1)),
    Column("speedup", 0, speedup),
    Column(INTERVAL, 1, of_drafters(interval)),
    Column("acc. length", 2, of_drafters(figure("acceptance_length"))),
    Column("acc. rate", 3, of_drafters(lambda row: percent(row.get("acceptance_rate")))),
    Column("draft ms", 6, of_drafters(figure("draft_ms"))),
    Column("verify ms", 7, figure("verify_ms")),
    Column("verdict", 0, verdict, justify="left"),
    Column("accuracy", 4, accuracy, lambda row: bool(row.get("scored"))),
    Column("all rows tok/s", 4, figure("throughput_tok_s", 1), lambda row: row.get("batch_size", 1) > 1),
    Column("floor ms", 8, figure("floor_ms"), strength_is_known),
    Column("strength", 5, lambda row: strength_text(row.get("strength")), strength_is_known),
    Column("at floor", 9, lambda row: times(row.get("speedup_at_floor")), strength_is_known),
)
#: Columns of every table that is wide enough.
USUAL = COLUMNS[:10]


def cells(row: SummaryRow) -> list[str]:
    """One arm's texts in the usual columns."""
    return [in_ascii(column.text(row)) for column in USUAL]


def arms_table(summary: Mapping[str, Any], order: Sequence[str] = (), width: int = 160) -> Table:
    """Every arm against the baseline of the same run, the arms of `order` first, in at most `width` columns.

    Names of arms are folded where even the columns of rank 0 are too wide.
    """
    rows = overall(summary, order)
    titles = {INTERVAL: in_ascii(f"{confidence_text(summary)} interval")}
    able = [column for column in COLUMNS if not rows or any(column.shown(row) for row in rows)]
    if not rows:
        able = list(USUAL)
    texts = {column.title: [in_ascii(column.text(row)) for row in rows] for column in able}
    heads = {column.title: titles.get(column.title, column.title) for column in able}
    one_line = {title: max(map(len, [heads[title], *texts[title]])) for title in heads}
    if sum(one_line.values()) + GAP * (len(able) - 1) > width:
        heads = {title: "\n".join(head.rsplit(" ", 1)) for title, head in heads.items()}
    chosen = fitting(
        able,
        lambda column: column.rank,
        lambda column: max(map(len, [*heads[column.title].split("\n"), *texts[column.title]])),
        width,
    )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column in chosen:
        fold = column.title == "arm"
        table.add_column(
            heads[column.title], justify=column.justify, no_wrap=not fold, overflow="fold", vertical="bottom"
        )
    fastest = leader(rows)
    for index, row in enumerate(rows):
        style = "bold red" if row.get("verdict_mismatch") else "green" if row is fastest else None
        # As Text: rich reads plain strings as markup, in which an arm called `a[b]` loses its end.
        table.add_row(*(Text(texts[column.title][index]) for column in chosen), style=style)
    return table


def fitting(
    able: Sequence[Thing], rank: Callable[[Thing], int], wide: Callable[[Thing], int], width: int
) -> list[Thing]:
    """The columns of the smallest ranks that fit into `width` together, in their order; those of rank 0 in any case."""
    chosen, left = [], width + GAP
    for column in sorted(able, key=rank):
        if rank(column) == 0 or wide(column) + GAP <= left:
            chosen.append(column)
            left -= wide(column) + GAP
        else:
            break  # a less important column must not stand where a more important one is missing
    return [column for column in able if column in chosen]


def leader(rows: Sequence[SummaryRow]) -> SummaryRow | None:
    """The fastest drafter whose interval lies above 1 and whose tokens are the target's."""
    sure = [
        row
        for row in rows
        if (row.get("speedup_decode_low") or 0) > 1.0 and not is_control(row["arm"]) and not row.get("verdict_mismatch")
    ]
    return max(sure, key=lambda row: row["speedup_decode"]) if sure else None
