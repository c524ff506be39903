"""`python -m harness.report DIR...`: write reports anew from the files of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_BAD_INPUT, EXIT_OK, InputError
from harness.report import write_report
from harness.run_files import GENERATIONS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or a sweep of them")
    options = parser.parse_args(arguments)
    worst = EXIT_OK
    for folder in options.folders:
        found = sorted(path.parent for path in folder.rglob(GENERATIONS))
        if not found:
            print(f"error: {folder}: no {GENERATIONS} in it or below, expected a run directory", file=sys.stderr)
            worst = EXIT_BAD_INPUT
        for run_dir in found:
            try:
                print(write_report(run_dir))
            except InputError as error:
                print(f"error: {error}", file=sys.stderr)
                worst = EXIT_BAD_INPUT
    return worst


if __name__ == "__main__":
    sys.exit(main())
