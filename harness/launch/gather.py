"""Writes the end of a sweep: one table over all jobs, and the leaderboard where it can be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from drafters.errors import InputError
from harness.config import TrackingConfig
from harness.launch.state import STATES, Sweep
from harness.metrics.summary import COLUMNS, flat, read_summary
from harness.records.csv_text import csv_text
from harness.records.files import SUMMARY_JSON, replace_file
from harness.records.progress import warn
from harness.report.entry import say
from harness.report.leaderboard.board import Leaderboard, leaderboard

TABLE = "sweep.csv"
ABOUT = ("job", "state", "overrides", "reason")


def finish(sweep: Sweep, tracking: TrackingConfig | None = None) -> None:
    """Write `sweep.csv` and, from the jobs that have numbers, the leaderboard; in W&B too where `tracking` says so."""
    rows = list(rows_of(sweep))
    if unknown := sorted({name for row in rows for name in row} - {*ABOUT, *COLUMNS}):
        warn(f"{TABLE} leaves out {', '.join(unknown)}: figures without a definition in this version")
    replace_file(sweep.folder / TABLE, as_csv(rows))
    counted = {state: sum(job.state == state for job in sweep.jobs) for state in STATES}
    ended = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
    say(f"sweep: {ended or 'no jobs'}; {sweep.folder / TABLE}")
    if counted["done"]:
        try:
            board = show_leaderboard(sweep.folder)
            if tracking is not None and tracking.name != "none":
                track(tracking, board, sweep.folder)
        except Exception as error:  # the numbers are safe; a table over them can be built again
            warn(f"no leaderboard ({type(error).__name__}: {error})")


def show_leaderboard(folder: Path) -> Leaderboard:
    """Print the leaderboard over all runs below `folder`, and write its files there."""
    board = leaderboard([folder])
    # A sweep must be able to begin without a drawing library.
    from harness.report.leaderboard.console import files_line, show_board
    from harness.report.leaderboard.page import write_leaderboard

    show_board(board)
    say(files_line(write_leaderboard(board, folder.resolve())))
    return board


def track(tracking: TrackingConfig, board: Leaderboard, folder: Path) -> None:
    """The leaderboard as a run in the tracker, whose outage is a warning."""
    from harness.report.tracking.board import track_leaderboard
    from harness.report.tracking.tracker import quietly, switched_off

    if not switched_off():  # the jobs have said so
        where = quietly("write the leaderboard", lambda: track_leaderboard(tracking, board, folder))
        if where:
            say(f"W&B: leaderboard, {where}")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The jobs' rows as CSV text: the job, then every figure of metrics/definitions.py that any row has."""
    table = pd.DataFrame(list(rows), columns=[*ABOUT, *COLUMNS], dtype=object)
    filled = [name for name in table if name in ("job", "state") or table[name].notna().any()]
    return csv_text(table[filled])


def rows_of(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """One row per job, arm and category; a job without numbers has one row that says why. Unknown values are None."""
    labels = sweep.labels()
    for job in sweep.jobs:
        about: dict[str, Any] = {"job": job.job, "state": job.state}
        about |= {"overrides": labels[job.job] or None, "reason": job.reason}
        found: list[dict[str, Any]] = []
        if job.state != "dropped":
            try:
                rows = read_summary(sweep.folder / str(job.job))["rows"]
                found = [flat({name: None if value == [] else value for name, value in row.items()}) for row in rows]
            except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                if job.state == "done":  # elsewhere its absence is no news
                    about["reason"] = f"its {SUMMARY_JSON} cannot be read ({type(error).__name__}: {error})"
        if not found:
            yield about
        for row in found:
            yield about | row
