"""Text for a terminal: long lines are broken between words. A log and a pipe keep every line whole."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from typing import TextIO

HANG = 2  # blanks before the rest of a broken line
ROOM = 24  # columns that the last column of a row needs, for its rest to stand below it
COLUMNS = re.compile(r"\s*\S.*\S {2,}(?=\S)")


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that `stream` writes to; None where it is no terminal."""
    if not stream.isatty():
        return None
    if os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return shutil.get_terminal_size().columns


def fitted(text: str, width: int | None) -> str:
    """`text` with every line broken between words to `width`; as it is without a width.

    The rest of a row with columns (two blanks between them) stands below its last column where that has room, else it
    is indented. A word that is longer than a line, such as a path, stays whole, so that it can be copied.
    """
    if width is None:
        return text
    return "\n".join(_line(line, width) for line in text.split("\n"))


def _line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    indent = len(line) - len(line.lstrip())
    columns = COLUMNS.match(line)
    below = columns.end() if columns and columns.end() <= width - ROOM else 0
    further = " " * (below or indent + HANG)
    if line.lstrip().startswith("# "):  # a comment stays one
        below, further = 0, f"{' ' * indent}# "
    broken = textwrap.wrap(
        line[below:] if below else line[indent:],
        width,
        # What stands before the last column takes its room, but must not be broken itself.
        initial_indent=" " * (below or indent),
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([line[:below] + broken[0][below:], *broken[1:]])
