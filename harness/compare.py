"""`python -m harness.compare DIR...`: any runs or sweeps as one leaderboard, with a warning for what spoils it.

Markdown goes to stdout; leaderboard.md, .csv and .html into `--out`, by default the folder that holds all the runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_BAD_INPUT, EXIT_OK, InputError
from harness.leaderboard import leaderboard


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one line on stderr for a folder that holds no run or cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m harness.compare", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or any folder of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go")
    options = parser.parse_args(arguments)
    try:
        board = leaderboard(options.folders)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    # After the reading: a mistyped folder should be told at once, without a drawing library.
    from harness.leaderboard_page import markdown, notes, write_leaderboard

    out = options.out or Path(os.path.commonpath([folder.resolve() for folder in options.folders]))
    written = write_leaderboard(board, out)
    print(markdown(board), end="")
    for text in notes(board):
        print(f"warning: {text}", file=sys.stderr)
    print(f"files: {', '.join(map(str, written))}", file=sys.stderr)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
