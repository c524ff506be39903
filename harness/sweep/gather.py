"""What a sweep leaves at its end: one table over all jobs, and the leaderboard and report where they can be built."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from harness.run_files import SUMMARY_JSON, replace_file
from harness.sweep.state import Sweep

TABLE = "sweep.csv"
FIGURES = (
    "arm", "dataset", "category", "batch_size", "num_draft_tokens", "generations", "errors", "tau", "acceptance_rate",
    "tokens_per_s", "speedup", "speedup_low", "speedup_high", "verdict_exact", "verdict_tie", "verdict_mismatch",
)  # fmt: skip


def finish(sweep: Sweep) -> None:
    """Write `sweep.csv` and, from the jobs that have numbers, the leaderboard and its report."""
    rows = list(rows_of(sweep))
    text = io.StringIO()
    columns = ["job", "state", "overrides", "reason", *FIGURES]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(sweep.folder / TABLE, text.getvalue())
    counted = {state: sum(job.state == state for job in sweep.jobs) for state in ("done", "failed", "dropped")}
    told = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
    print(f"sweep: {told or 'no jobs'}; {sweep.folder / TABLE}", file=sys.stderr, flush=True)
    if counted["done"] and importlib.util.find_spec("harness.compare"):
        try:
            importlib.import_module("harness.compare").main([str(sweep.folder)])
        except Exception as error:  # the numbers are safe; a table over them can be built again
            print(f"warning: no leaderboard ({type(error).__name__}: {error})", file=sys.stderr, flush=True)


def rows_of(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """One row per job, arm and category; a job without numbers has one row that says why."""
    labels = sweep.labels()
    for job in sweep.jobs:
        about = {"job": job.job, "state": job.state, "overrides": labels[job.job], "reason": job.reason}
        path = sweep.folder / str(job.job) / SUMMARY_JSON
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["rows"] if job.state != "dropped" else []
        except (OSError, ValueError, KeyError):
            found = []
        if not found:
            yield about
        for row in found:
            yield about | row
