"""Exact tests of rates, so that a doubt has a known rate of false alarms.

Tails are summed from logarithms of factorials: nothing overflows, and small probabilities stay exact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def at_least(successes: int, trials: int, rate: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, rate)."""
    return at_most(trials - successes, trials, 1.0 - rate)


def at_most(successes: int, trials: int, rate: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, rate). Raises ValueError for a rate outside (0, 1)."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate={rate}: expected a number between 0 and 1")
    if successes < 0:
        return 0.0
    if successes >= trials:
        return 1.0
    counts = np.arange(successes + 1)
    steps = np.log(trials - counts[1:] + 1.0) - np.log(counts[1:])  # from one binomial coefficient to the next
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    logs += counts * math.log(rate) + (trials - counts) * math.log1p(-rate)
    return min(1.0, float(np.exp(logs).sum()))


def shares_differ(first: int, of_first: int, second: int, of_second: int) -> float:
    """Two-sided p-value of Fisher's exact test; 1.0 if either group is empty.

    It is the probability of counts at least this far apart if both shares are equal.
    """
    both, total = first + second, of_first + of_second
    if not of_first or not of_second:
        return 1.0
    counts = np.arange(max(0, both - of_second), min(both, of_first) + 1)
    logs = _log_choose(of_first, counts) + _log_choose(of_second, both - counts)
    chances = np.exp(logs - _log_choose(total, np.array([both])))
    seen = chances[first - counts[0]]
    # Rounding must not leave out a table that is as likely as the observed one.
    return min(1.0, float(chances[chances <= seen * (1 + 1e-9)].sum()))


def _log_choose(total: int, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """log of binomial coefficients, [counts]."""
    return np.array(
        [math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1) for count in counts.tolist()]
    )
