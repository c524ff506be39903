"""`drafthouse compare DIR...`: rank any runs or sweeps in one leaderboard, with warnings on differences.

Prints the table on a terminal, else Markdown, and writes leaderboard.md, .csv and .html to `--out`, by default the
folder that holds all runs. If that default cannot be written, such as an archive, the table is printed all the same.

In Python `harness.compare(...)` runs a comparison (harness/launch/python/comparing.py). An import of this module sets
the package's attribute of that name, whatever stood there; so the module itself can be called, and both are one object.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from harness.launch.python.comparing import compare
from harness.report.entry import command, explain, say
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK


class CallableModule(ModuleType):
    """This module, called as the function `compare`."""

    __call__ = staticmethod(compare)


sys.modules[__name__].__class__ = CallableModule


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Rank the runs; return 0, or 2 for a folder without a run, one that cannot be read, or a wrong `--out`."""
    parser = argparse.ArgumentParser(prog="drafthouse compare", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or any folder of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--url", default="", help="where they will lie on the web, for the picture of a link")
    parser.add_argument("--markdown", action="store_true", help="print Markdown on a terminal too")
    options = parser.parse_args(arguments)
    from harness.report.leaderboard.board import leaderboard
    from harness.report.places import web_folder

    url = web_folder(options.url) if options.url else ""
    board = leaderboard(options.folders)
    # Imported after reading: the error for a mistyped folder should not wait for a drawing library.
    from harness.report.leaderboard.console import files_line, show_board
    from harness.report.leaderboard.page import write_leaderboard

    out = options.out or Path(os.path.commonpath([folder.resolve() for folder in options.folders]))
    show_board(board, as_markdown=options.markdown)
    try:
        say(files_line(write_leaderboard(board, out, url)))
    except OSError as error:
        code, reason = explain(error)
        if options.out or code != EXIT_BAD_INPUT:
            raise
        say(f"warning: no files written ({reason}); --out DIR puts them elsewhere")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
