"""`drafthouse advise DIR...`: which drafter and which k to deploy, by how much, how sure, and what to paste.

Reads one run, or the runs of a sweep (other k, other batch sizes). Where stdout is no terminal its last line is JSON:
arm (an arm, `none` where drafting does not pay, `either` where intervals overlap, null where it abstains), k, speedup,
low, high, abstains (the reason, or null).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.records.terminal import fitted, width_of
from harness.report.advice.advice import advise
from harness.report.advice.words import lines, pasteable
from harness.report.entry import command
from harness.vocabulary import EXIT_OK


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the advice; return 0, also where it abstains, or 2 for a folder without a run."""
    parser = argparse.ArgumentParser(prog="drafthouse advise", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a run directory, or any folder of them")
    parser.add_argument("--arm", help="advise about this arm alone, as for a server that has no other drafter")
    options = parser.parse_args(arguments)
    found = advise(options.folders, options.arm)
    width = width_of(sys.stdout)
    # What is to be pasted stays on its line.
    print("\n".join([*(fitted(line, width) for line in lines(found)), *pasteable(found[0])]))
    if width is None:
        print(json.dumps(found[0].result))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
