"""The variation from run to run: what the intervals of a run hold of it, and what earlier runs showed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.vocabulary import BASELINE

FIELDS = ("dataset", "batch_size", "arm", "num_draft_tokens", "other", "other_num_draft_tokens")


def run_to_run(rows: Sequence[Mapping[str, Any]], earlier: Iterable[Any]) -> dict[str, Any]:
    """For a summary: the fewest `processes` behind an interval of `rows`, and `earlier`, a row per comparison.

    `rows` are comparisons over all categories, with an `other`. `earlier` are runs as `process_speedups` describes
    them; each row gives their `processes`, the `low`est and `high`est speedup, and the `spread` of its log (from two
    on).
    """
    behind = [int(row["processes"]) for row in rows if row.get("processes")]
    speedups: dict[tuple[Any, ...], list[float]] = {}
    for run in earlier:
        for one in run.get("speedups") or [] if isinstance(run, Mapping) else []:
            value = one.get("speedup")
            if isinstance(value, int | float) and math.isfinite(value) and value > 0:
                speedups.setdefault(tuple(one.get(name) for name in FIELDS), []).append(float(value))
    found = []
    for row in rows:
        values = speedups.get(tuple(row.get(name) for name in FIELDS))
        if values:
            spread = float(np.std(np.log(values), ddof=1)) if len(values) > 1 else None
            about = {name: row[name] for name in FIELDS}
            found.append({**about, "processes": len(values), "low": min(values), "high": max(values), "spread": spread})
    return {"processes": min(behind, default=1), "earlier": found}


def as_comparisons(rows: Iterable[Mapping[str, Any]], pairs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A summary's rows over the baseline and its direct comparisons in one form."""
    over = [{**row, "other": BASELINE, "other_num_draft_tokens": 0} for row in rows if row["arm"] != BASELINE]
    return [*over, *pairs]
