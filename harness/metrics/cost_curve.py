"""Draws the measured costs of a round as smooth curves over k: neighbours correct a k that was timed in a bad moment.

Milliseconds of verification depend on the width of the pass alone and never fall with it, so arms share one curve. A
chain of drafts costs a constant and a step per token, a block never less than a narrower one. Costs that agree with
this already stay as they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from harness.records.costs import ArmCosts, CostTable, RoundCost

#: Fewer points are kept as they are: none of them could be the odd one out.
FEWEST = 4
#: From the median absolute deviation of a normal distribution to its standard deviation.
NORMAL = 1.4826

Curve = tuple[Mapping[int, float], float]
"""The value by k or width, and the relative standard error of one value."""


def smoothed(table: CostTable) -> CostTable:
    """The table with every measured cost on its curve. Errors become those of the curves where they were smaller."""
    rounds = [one for arm in table.arms.values() for one in arm.rounds]
    widths, error = rising([(1, table.decode_ms), *((one.k + 1, one.verify_ms) for one in rounds)])
    arms = {name: _drawn(arm, widths, error) for name, arm in table.arms.items()}
    return replace(table, decode_ms=widths[1], arms=arms)


def _drawn(arm: ArmCosts, widths: Mapping[int, float], verify_error: float) -> ArmCosts:
    points = [(one.k, one.draft_ms) for one in arm.rounds]
    drafts, draft_error = rising(points) if arm.block else line(points)

    def on_curves(one: RoundCost) -> RoundCost:
        return replace(
            one,
            draft_ms=drafts[one.k],
            verify_ms=widths[one.k + 1],
            draft_error=max(one.draft_error, draft_error),
            verify_error=max(one.verify_error, verify_error),
        )

    return replace(arm, rounds=tuple(on_curves(one) for one in arm.rounds))


def rising(points: Sequence[tuple[int, float]]) -> Curve:
    """A curve that never falls: running medians of three, then the nearest rising sequence by least squares.

    Values of one place count as their mean.
    """
    from scipy.optimize import isotonic_regression  # half a second, which readers of results need not wait for

    places = sorted(points)
    means = {at: float(np.mean([value for _, value in group])) for at, group in groupby(places, lambda one: one[0])}
    values = np.array(list(means.values()))
    if len(values) < FEWEST:
        return means, 0.0
    middle = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    drawn = isotonic_regression(np.concatenate([values[:1], middle, values[-1:]])).x
    found = dict(zip(means, drawn.tolist(), strict=True))
    return found, scatter(np.array([value for _, value in places]), np.array([found[at] for at, _ in places]))


def line(points: Sequence[tuple[int, float]]) -> Curve:
    """A straight line through the median of all slopes between two points, which odd ones hardly move.

    Source: Sen, Estimates of the regression coefficient based on Kendall's tau (1968).
    """
    from scipy.stats import theilslopes

    places, values = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    if len(values) < FEWEST:
        return dict(points), 0.0
    slope, constant, *_ = theilslopes(values, places, method="joint")
    drawn = constant + slope * places
    if slope < 0 or drawn.min() < 0:  # no chain: drafts that are looked up cost what they cost
        return rising(points)
    return {int(at): float(value) for at, value in zip(places, drawn, strict=True)}, scatter(values, drawn)


def scatter(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> float:
    """The relative standard error of a drawn value, which rests on three measured ones, from their typical distance."""
    typical = NORMAL * float(np.median(np.abs(values - drawn) / np.maximum(drawn, 1e-9)))
    return typical / 3**0.5
