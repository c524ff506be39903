"""The figure that a job of a search returns: `sweep.objective`, by the names that the tracker uses for it."""

from __future__ import annotations

import math
from difflib import get_close_matches
from pathlib import Path

from drafters.errors import InputError
from harness.config import RunConfig
from harness.metrics.summary import COLUMNS, read_summary
from harness.records.stored import read_manifest
from harness.report.names import known
from harness.report.tracking.described import arm_rows, fastest
from harness.report.tracking.mirror import summary_figures
from harness.vocabulary import BASELINE, EXIT_OK

BEST = "best"
OF_BEST = ("speedup_decode", "k")


def check_objective(config: RunConfig) -> None:
    """Raise InputError for an objective whose arm this job lacks, or whose figure no summary has."""
    asked = config.sweep.objective
    if asked is None:
        return
    subject, _, figure = asked.partition("/")
    arms = [arm.name for arm in config.arms]
    subjects = [BEST, BASELINE, *arms, *(f"{one}_vs_{other}" for one in arms for other in arms if one != other)]
    for what, value, expected in (
        ("arm", subject, subjects),
        ("figure", figure, OF_BEST if subject == BEST else COLUMNS),
    ):
        if value not in expected:
            close = get_close_matches(value, expected, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            shown = ", ".join(expected) if len(expected) < 12 else "a column of summary.csv (docs/metrics.md)"
            raise InputError(f"sweep.objective={asked}: unknown {what} {value}, {hint}expected {shown}")


def objective_of(asked: str, run_dir: Path, exit_code: int) -> float:
    """The value of the figure in a finished run; not a number for a run that failed, or that does not know it."""
    if exit_code != EXIT_OK:
        return math.nan
    summary = read_summary(run_dir)
    figures = summary_figures(summary) | fastest(arm_rows(summary, read_manifest(run_dir)))
    value = figures.get(asked)
    return float(value) if known(value) else math.nan
