"""`curve.json` of a run, from its records and its cost table; and its reading."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.metrics.curve import DraftedAgain, Point, curves
from harness.metrics.statistics import CONFIDENCE
from harness.records.costs import read_costs
from harness.records.files import CURVE, REDRAFTED, replace_file
from harness.records.frames import read_generations, read_rounds
from harness.records.journal_files import read_lines
from harness.records.stored import read_object, warn_once

Curves = Mapping[str, list[Point]]


def write_curve(run_dir: str | Path, *, confidence: float = CONFIDENCE) -> Curves | None:
    """Write `curve.json`; None, and nothing is written, where the run has no cost table."""
    folder = Path(run_dir)
    costs = read_costs(folder)
    if costs is None:
        (folder / CURVE).unlink(missing_ok=True)  # of earlier records
        return None
    found = curves(read_rounds(folder), read_generations(folder), costs, drafted_again(folder), confidence=confidence)
    replace_file(folder / CURVE, json.dumps({"arms": as_rows(found)}, indent=1, allow_nan=False) + "\n")
    return found


def as_rows(found: Curves) -> dict[str, list[dict[str, Any]]]:
    """The points as JSON holds them: unknown numbers are null."""
    return {
        arm: [
            {name: None if isinstance(value, float) and not math.isfinite(value) else value
             for name, value in asdict(point).items()}
            for point in points
        ]
        for arm, points in found.items()
    }  # fmt: skip


def read_curve(run_dir: str | Path) -> dict[str, list[Point]]:
    """The curves of `curve.json` by arm; none where the run has none, or a damaged one."""
    path = Path(run_dir) / CURVE
    found = read_object(path, "the run is shown without its curve over k")
    try:
        return {str(arm): [Point(**one) for one in points] for arm, points in (found or {"arms": {}})["arms"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        warn_once(f"{path} is damaged ({error!r}): the run is shown without its curve over k")
        return {}


def drafted_again(run_dir: Path) -> DraftedAgain:
    """Rounds by generation and k, from `redrafted.jsonl`; a later line wins."""
    lines = read_lines(run_dir / REDRAFTED) if (run_dir / REDRAFTED).exists() else ()
    found: dict[tuple[str, int, str, int, int], int] = {}
    for one in lines:
        key = (str(one["prompt_id"]), int(one["turn"]), str(one["arm"]), int(one["repeat"]), int(one["k"]))
        found[key] = int(one["rounds"])
    return found
