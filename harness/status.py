"""`drafthouse status DIR`: a sweep's jobs (done, running, failed, pending, dropped) with reasons, or a run's state."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drafters.errors import InputError
from harness.launch.resume import resume_hint
from harness.launch.state import STATES, SWEEP, Sweep, read_sweep
from harness.records.files import MANIFEST, REPORT, SUMMARY_JSON
from harness.records.stored import counted, read_manifest, read_object
from harness.records.terminal import fitted, width_of
from harness.report.entry import command
from harness.vocabulary import EXIT_OK

COLOURS = {"done": "green", "running": "cyan", "failed": "red", "pending": "yellow", "dropped": "dim"}


def as_table(sweep: Sweep) -> Table:
    counts = {state: sum(job.state == state for job in sweep.jobs) for state in STATES}
    title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    reasons = any(job.reason for job in sweep.jobs)
    for name in ("job", "state", "settings", *(["reason"] if reasons else [])):
        table.add_column(name, overflow="fold")
    labels = sweep.labels()
    for job in sweep.jobs:
        # As Text: rich reads plain strings as markup, in which `drafter=[mtp,dflash]` loses its list.
        cells = [Text(str(job.job)), Text(job.state, style=COLOURS[job.state]), Text(labels[job.job])]
        table.add_row(*cells, *([Text(job.reason or "")] if reasons else []))
    return table


def as_json(sweep: Sweep) -> str:
    """One JSON object: the number of jobs in each state, and every job."""
    counts = {state: sum(job.state == state for job in sweep.jobs) for state in STATES}
    return json.dumps({"folder": str(sweep.folder), "counts": counts, "jobs": [asdict(job) for job in sweep.jobs]})


def run_state(folder: Path) -> dict[str, Any]:
    """A run's generations so far, those asked for, and whether it went to its end. It may stop early as asked."""
    done, whole = counted(folder)
    stopped = ((read_object(folder / SUMMARY_JSON, "a stop is not known") or {}).get("stopped") or {})
    ended = done >= whole > 0 or stopped.get("reason") in ("decided", "max_prompts")
    return {"folder": str(folder), "generations": done, "expected": whole, "finished": ended}


def run_words(folder: Path, state: dict[str, Any]) -> str:
    """The same in words, with the page or the command that continues."""
    said = f"{state['generations']} of {state['expected']} generations"
    if not state["finished"]:
        typed = read_manifest(folder).get("command") or [""]
        return f"unfinished run: {said}; {resume_hint(typed, folder, sweep=False)}"
    page = folder / REPORT
    return f"finished run: {said}" + (f"\nreport: {page.resolve().as_uri()}" if page.is_file() else "")


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse status", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="hydra.sweep.dir of the sweep, or a run directory")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    options = parser.parse_args(arguments)
    folder = options.folder
    if not (folder / SWEEP).exists() and (folder / MANIFEST).is_file():
        state = run_state(folder)
        print(json.dumps(state) if options.json else fitted(run_words(folder, state), width_of(sys.stdout)))
        return EXIT_OK
    if not (folder / SWEEP).exists():
        raise InputError(f"{folder}: no {SWEEP} and no {MANIFEST}, expected the directory of a sweep or of a run")
    sweep = read_sweep(folder)
    if options.json:
        print(as_json(sweep))
    elif not sweep.jobs:
        print(f"{sweep.folder}: no jobs yet")
    else:
        Console().print(as_table(sweep))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
