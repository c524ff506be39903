"""`python -m harness.report DIR...`: write reports anew from the files of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.entry import command, say, tell
from harness.errors import EXIT_BAD_INPUT, EXIT_OK
from harness.records.files import GENERATIONS, run_directories
from harness.report import write_report


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or a sweep of them")
    options = parser.parse_args(arguments)
    worst = EXIT_OK
    for folder in options.folders:
        found = run_directories(folder, GENERATIONS)
        if not found:
            say(f"error: {folder}: no {GENERATIONS} in it or below, expected a run directory")
            worst = max(worst, EXIT_BAD_INPUT)
        for run_dir in found:
            try:
                print(write_report(run_dir))
            except Exception as error:  # one run that cannot be reported must not keep the others
                worst = max(worst, tell(error))
    return worst


if __name__ == "__main__":
    sys.exit(main())
