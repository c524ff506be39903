"""A lane of the race's picture over time: what each step adds, and where its text lies on lines of CELLS cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from rich.cells import cell_len

from harness.report.names import clean
from harness.report.page.runners import Runner

MAX_STEPS = 150  # of a lane: neighbouring rounds of a longer one appear together
CELLS = 37


@dataclass(frozen=True, slots=True)
class Step:
    """What a lane shows from `at_s` on: new pieces of text as (text, drafted?), and its counts so far."""

    at_s: float
    pieces: tuple[tuple[str, bool], ...]
    tokens: int
    accepted: int
    rejected: int


START = Step(0.0, (), 0, 0, 0)


def steps_of(runner: Runner, most: int = MAX_STEPS) -> list[Step]:
    """The first token, then one step per round; a lane of more than `most` rounds joins neighbours."""
    ends, joined = runner.lane.ends_s, max(1, ceil(len(runner.rounds) / most))
    found = [Step(ends[0], ((runner.first, False),), 1, 0, 0)]
    for start in range(0, len(runner.rounds), joined):
        group, last = runner.rounds[start : start + joined], found[-1]
        pieces = tuple(piece for one in group for piece in ((one[0], not runner.is_baseline), (one[1], False)))
        found.append(
            Step(
                ends[min(start + joined, len(runner.rounds))],
                joined_pieces(pieces),
                last.tokens + sum(one[4] for one in group),
                last.accepted + sum(one[3] for one in group),
                last.rejected + sum(one[2] - one[3] for one in group),
            )
        )
    return found


def joined_pieces(pieces: Iterable[tuple[str, bool]]) -> tuple[tuple[str, bool], ...]:
    """`pieces` with neighbours of one kind as one, and without empty ones."""
    groups = groupby((piece for piece in pieces if piece[0]), key=lambda piece: piece[1])
    return tuple(("".join(text for text, _ in group), drafted) for drafted, group in groups)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text that one step adds to one line."""

    line: int
    column: int
    text: str
    drafted: bool

    @property
    def cells(self) -> int:
        return cell_len(self.text)


def lay_out(steps: Sequence[Step], cells: int = CELLS) -> list[list[Chunk]]:
    """The chunks of each step. A line ends at a line break, before a word that does not fit, or inside a longer one."""
    pieces = [[(plain(text), drafted) for text, drafted in step.pieces] for step in steps]
    starts = line_starts("".join(text for own in pieces for text, _ in own), cells)
    line = column = place = 0
    laid = []
    for own in pieces:
        chunks: list[Chunk] = []
        for text, drafted in own:
            held = ""
            for letter in text:
                if place in starts:
                    chunks += [Chunk(line, column, held, drafted)] if held.strip() else []
                    line, column, held = line + 1, 0, ""
                held += letter if letter != "\n" else ""
                place += 1
            chunks += [Chunk(line, column, held, drafted)] if held.strip() else []
            column += cell_len(held)
        laid.append(chunks)
    return laid


def plain(text: str) -> str:
    return clean(text).replace("\r", "").replace("\t", "    ")


def line_starts(text: str, cells: int) -> set[int]:
    """Indices into `text` where a new line begins."""
    starts: set[int] = set()
    column = begin = word = 0  # cells so far; where the line and its last word begin
    for place, letter in enumerate(text):
        width = 0 if letter == "\n" else cell_len(letter)
        if place and text[place - 1] == "\n":
            starts.add(place)
            column, begin, word = 0, place, place
        elif place and text[place - 1] == " " and letter != " ":
            word = place
        if column + width > cells and letter != " ":  # a space may hang over
            begin = word = word if word > begin else place
            starts.add(begin)
            column = cell_len(text[begin:place])
        column += width
    return starts
