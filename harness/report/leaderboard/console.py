"""The leaderboard on a terminal: its verdict, its tables in as many columns as the terminal has, its warnings once."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import rich.table
from rich.console import Console
from rich.text import Text

from harness.report.arms_table import GAP, fitting
from harness.report.console import print_line
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.headline import headline, legend
from harness.report.leaderboard.page import UNPAIRED, markdown, notes
from harness.report.leaderboard.tables import PAIRS, RANKING, tables
from harness.report.names import NONE, in_ascii
from harness.report.page.tables import Cell, Table

#: Columns of the ranking that give way where a terminal is narrow, the highest first; the others always stand.
RANKS = {
    "Tokens/s": 1,
    "Run": 2,
    "Prompts": 3,
    "Tokens/round": 4,
    "Drafts accepted": 5,
    "Accuracy": 6,
    "End to end": 7,
    "Speedup at the floor": 8,
    "Strength": 9,
    "Baseline’s strength": 10,
}
TONES = {"best": "green", "good": "green", "bad": "bold red", "quiet": "dim"}
FIGURE = re.compile(r"-|[\d.]+(x| %)?")
NARROW = 80  # below it small print stands under its figure


def show_board(board: Leaderboard, *, as_markdown: bool = False, console: Console | None = None) -> None:
    """Print the leaderboard, for people on a terminal, else as Markdown, its warnings on stderr too."""
    console = console or Console()
    if console.is_terminal and not as_markdown:
        print_board(board, console)
        return
    print(markdown(board), end="", flush=True)
    for text in notes(board):
        print(f"warning: {text}", file=sys.stderr, flush=True)


def print_board(board: Leaderboard, console: Console) -> None:
    """The verdict, what the runs share, the tables, and reasons for doubt."""
    verdict = headline(board)
    console.print(Text(in_ascii(verdict.title), style="bold"), soft_wrap=False)
    if board.synthetic:
        print_line(console, f"SYNTHETIC: {len(board.synthetic)} of {len(board.runs)} runs, which measured no drafter.")
    for text in (*legend(board), *verdict.sentences):
        print_line(console, in_ascii(text))
    for heading, table, first in tables(board):
        console.print()
        console.print(Text(heading, style="bold"))
        console.print(as_rich(table, first, console.width, RANKS if heading == RANKING else {}))
        if heading == PAIRS:
            print_line(console, UNPAIRED)
    console.print()
    for text in notes(board):
        print_line(console, f"warning: {in_ascii(text)}")


def files_line(paths: Sequence[Path]) -> str:
    """The page as a link where a person reads it; in a log every file."""
    page = next((path for path in paths if path.suffix == ".html"), None)
    if page is None or not sys.stderr.isatty():
        return f"files: {', '.join(map(str, paths))}"
    return f"leaderboard: {page.resolve().as_uri()}"


def as_rich(table: Table, first: str, width: int, ranks: Mapping[str, int]) -> rich.table.Table:
    """`table` in at most `width` columns: those of the highest ranks give way, words of the others are folded."""
    joint = "\n" if width < NARROW else " "
    labels = [in_ascii(f"{line.label} {line.mark}".strip()) for line in table.lines]
    titles = [first, *(title for title, _ in table.columns)]
    texts = {first: labels}
    for index, (title, _) in enumerate(table.columns):
        texts[title] = [_text(line.cells[index], joint) for line in table.lines]
    chosen = fitting(titles, lambda one: ranks.get(one, 0), lambda one: _wide(one, texts[one]), width)
    made = rich.table.Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    heads = {title: in_ascii(_two_lines(title)) for title in chosen}
    deep = any("\n" in head for head in heads.values())
    for title, head in heads.items():
        above = "\n" if deep and "\n" not in head else ""
        figures = all(FIGURE.fullmatch(text) for text in texts[title])
        made.add_column(above + head, justify="right" if figures else "left", overflow="fold")
    for index, line in enumerate(table.lines):
        cells = [Text(labels[index], style="dim" if line.void else "")]
        for title in chosen[1:]:
            cell = line.cells[titles.index(title) - 1]
            cells.append(Text(texts[title][index], style=TONES.get(cell.tone, "")))
        made.add_row(*cells)
    return made


def _text(cell: Cell, joint: str) -> str:
    """The figure, then its small print in brackets where that is one line."""
    if cell.small in ("", NONE):
        return in_ascii(cell.text)
    if "\n" in cell.small:
        return in_ascii(f"{cell.text}\n{cell.small}")
    return in_ascii(f"{cell.text}{joint}({cell.small})")


def _two_lines(title: str) -> str:
    return "\n".join(title.rsplit(" ", 1))


def _wide(title: str, texts: Sequence[str]) -> int:
    return max(len(line) for text in (_two_lines(title), *texts) for line in text.split("\n"))
