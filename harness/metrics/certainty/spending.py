"""Levels of intervals that are looked at several times, by spending the error along the way.

A run that looks after every block and stops when it likes the interval misses the truth more often than 5 %: each
look is another chance to be wrong. Lan and DeMets (Biometrika 1983) spend a part of the error at each look, here in
proportion to the prompts seen so far (Kim and DeMets, Biometrika 1987). An interval at the level found for each look
then holds the truth at all looks at once, whatever rule stops the run (Jennison and Turnbull, JRSS B 1989). Bounds come
from the recursion of Armitage, McPherson and Rowe (JRSS A 1969).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NORMAL = NormalDist()
POINTS = 401  # of the grid over the statistic; more change the levels by less than 1e-5


def look_levels(prompts: Sequence[int], most: int, error: float) -> list[float]:
    """The error of the two-sided interval at each look, after `prompts` [looks] prompts of at most `most`.

    Together the looks miss with probability `error` x the last of `prompts` / `most`. Raises ValueError for looks that
    do not grow, lie beyond `most`, or an error outside 0 to 1.
    """
    if not 0.0 < error < 1.0:
        raise ValueError(f"error={error}: expected a number between 0 and 1")
    if any(a >= b for a, b in zip([0, *prompts], [*prompts, most + 1], strict=True)):
        raise ValueError(f"prompts={list(prompts)}: expected looks that grow, up to {most}")
    return [2 * (1 - NORMAL.cdf(bound)) for bound in _bounds(tuple(prompts), most, error)]


@cache
def _bounds(prompts: tuple[int, ...], most: int, error: float) -> tuple[float, ...]:
    """|z| beyond which each look's interval misses. `sums` holds the density of the sum of the prompts' deviations
    over paths that no look has missed yet; each block adds an independent normal deviation."""
    found: list[float] = []
    density: Floats | None = None
    points = np.zeros(1)
    spent = before = 0.0
    for seen in prompts:
        due, step, scale = error * seen / most, math.sqrt((seen - before) / most), math.sqrt(seen / most)
        weights = np.ones(1) if density is None else density
        bound = _solve(weights, points, step, scale, due - spent)
        found.append(bound)
        grid = np.linspace(-bound * scale, bound * scale, POINTS)
        spread = _normal_density((grid[:, None] - points) / step) / step  # [POINTS, earlier points]
        simpson = np.where(np.arange(POINTS) % 2, 4.0, 2.0)
        simpson[[0, -1]] = 1.0
        density = (spread @ weights) * simpson * (grid[1] - grid[0]) / 3
        points, spent, before = grid, due, seen
    return tuple(found)


def _solve(weights: Floats, points: Floats, step: float, scale: float, error: float) -> float:
    """The bound on |z| at which paths with `weights` at `points` leave with probability `error` in this step.

    Both lie symmetrically about 0, so as many leave below as above.
    """
    low, high = 0.0, 40.0
    for _ in range(48):  # to 1e-13
        bound = (low + high) / 2
        leaves = 2 * weights @ _beyond((bound * scale - points) / step)
        low, high = (bound, high) if leaves > error else (low, bound)
    return high


def _normal_density(z: Floats) -> Floats:
    return np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)


def _beyond(z: Floats) -> Floats:
    """P(Z > z)."""
    return np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in z])
