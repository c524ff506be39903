"""`drafthouse report DIR...`: write the reports of runs again, from their files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from drafters.errors import InputError
from harness.records.files import find_runs
from harness.report import write_report
from harness.report.entry import command, tell
from harness.report.places import web_folder
from harness.vocabulary import EXIT_OK


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or a sweep of them")
    parser.add_argument("--url", default="", help="the folder on the web where DIR will lie, for the picture of a link")
    options = parser.parse_args(arguments)
    url = web_folder(options.url) if options.url else ""
    worst = EXIT_OK
    for folder in options.folders:
        try:
            found = find_runs(folder)
        except InputError as error:
            worst = max(worst, tell(error))
            continue
        for run_dir in found:
            try:
                below = run_dir.relative_to(folder).as_posix()
                print(write_report(run_dir, url and url + (f"{quote(below)}/" if below != "." else "")))
            except Exception as error:  # a run without a report must not cost the others theirs
                worst = max(worst, tell(error))
    return worst


if __name__ == "__main__":
    sys.exit(main())
