"""`drafthouse status DIR`: list a sweep's jobs as done, running, failed, pending or dropped, with reasons."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.launch.state import STATES, Sweep, read_sweep
from harness.report.entry import command
from harness.vocabulary import EXIT_OK

COLOURS = {"done": "green", "running": "cyan", "failed": "red", "pending": "yellow", "dropped": "dim"}


def as_table(sweep: Sweep) -> Table:
    counts = {state: sum(job.state == state for job in sweep.jobs) for state in STATES}
    table = Table(title=", ".join(f"{count} {state}" for state, count in counts.items() if count))
    for name in ("job", "state", "overrides", "reason"):
        table.add_column(name, overflow="fold")
    labels = sweep.labels()
    for job in sweep.jobs:
        # As Text: rich reads plain strings as markup, in which `drafter=[mtp,dflash]` loses its list.
        state = Text(job.state, style=COLOURS[job.state])
        table.add_row(Text(str(job.job)), state, Text(labels[job.job]), Text(job.reason or ""))
    return table


def as_json(sweep: Sweep) -> str:
    """One JSON object: the number of jobs in each state, and every job."""
    counts = {state: sum(job.state == state for job in sweep.jobs) for state in STATES}
    return json.dumps({"folder": str(sweep.folder), "counts": counts, "jobs": [asdict(job) for job in sweep.jobs]})


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse status", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="hydra.sweep.dir of the sweep")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    sweep = read_sweep(options.folder)
    if options.json:
        print(as_json(sweep))
    elif not sweep.jobs:
        print(f"{sweep.folder}: no jobs yet")
    else:
        Console().print(as_table(sweep))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
