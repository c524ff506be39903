"""`drafthouse diagnose DIR [--drafter NAME] [--anchors N]`: is a drafter weak, or is it wired wrongly?

Drafts again from the places of a run's greedy answers, with one target pass over each: acceptance per position, the
same under wirings that people get wrong, and how far the drafter's confidence can be trusted. Where stdout is no
terminal, the last line of each drafter is JSON: drafter, as_read, better.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from drafters.errors import InputError
from harness.comparison.diagnosis.measure import ANCHORS
from harness.comparison.diagnosis.runs import diagnose_run
from harness.records.terminal import fitted, width_of
from harness.report.entry import command, say
from harness.vocabulary import EXIT_OK


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a diagnosis of each drafter; return 0, or 2 for a run that cannot be looked at."""
    parser = argparse.ArgumentParser(prog="drafthouse diagnose", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run directory")
    parser.add_argument("--drafter", metavar="NAME", help="one of the run's arms; all of them by default")
    parser.add_argument(
        "--anchors", type=int, default=ANCHORS, metavar="N",
        help=f"about how many places of the answers each wiring drafts from ({ANCHORS}); 0: all of them",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.anchors < 0:
        raise InputError(f"--anchors {options.anchors}: expected 0 (every place) or more")
    width = width_of(sys.stdout)
    for found in diagnose_run(options.folder, options.drafter, options.anchors or None, say=say):
        print(fitted("\n".join([*found.lines, ""]), width))
        if width is None:
            print(json.dumps(found.result))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
