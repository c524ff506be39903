"""Intervals over runs and prompts: what a fresh process brings (allocation, compiled code, clocks) is chance, too.

Every process decodes the same prompts, so a log ratio is the sum of a mean, an effect of its process, one of its prompt
and a rest (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4). The error of the grand mean has a part
from processes and one from prompts. Few processes say little about their own variance, so each part gets Student's
bound for its degrees of freedom, in the manner of Cochran (Biometrics 1964), but added in quadrature, which is never
narrower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.statistics import MIN_PROMPTS, Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AcrossProcesses:
    """A ratio over processes and prompts; `spread` is the standard deviation of its log from process to process."""

    estimate: Estimate
    spread: float


def across_processes(logs: Floats, confidence: float) -> AcrossProcesses:
    """The mean ratio from `logs` [R, P] of R processes and P prompts, R at least 2.

    No interval below MIN_PROMPTS prompts. Raises ValueError for fewer than two processes or no prompt.
    """
    runs, prompts = logs.shape
    if runs < 2 or prompts < 1:
        raise ValueError(f"expected two processes or more and a prompt, got {runs} and {prompts}")
    mean = float(logs.mean())
    of_run, of_prompt = logs.mean(axis=1), logs.mean(axis=0)
    between_runs = prompts * float(((of_run - mean) ** 2).sum()) / (runs - 1)
    if prompts < MIN_PROMPTS:
        return AcrossProcesses(Estimate(math.exp(mean), None, None), float(of_run.std(ddof=1)))
    between_prompts = runs * float(((of_prompt - mean) ** 2).sum()) / (prompts - 1)
    rest = float(((logs - of_run[:, None] - of_prompt + mean) ** 2).sum()) / ((runs - 1) * (prompts - 1))
    spread = math.sqrt(max(0.0, between_runs - rest) / prompts)
    # Two parts of the error, each with the bound of its own degrees of freedom. The rest is in both mean squares and
    # counts once.
    parts = (between_runs, runs - 1), (max(0.0, between_prompts - rest), prompts - 1)
    reach = math.sqrt(sum(student_bound(df, confidence) ** 2 * square for square, df in parts) / (runs * prompts))
    if reach < 1e-12:  # rounding leaves a spread of 1e-16 where all ratios are equal
        return AcrossProcesses(Estimate(*[math.exp(mean)] * 3), spread)
    if reach > 700:
        return AcrossProcesses(Estimate(math.exp(mean), None, None), spread)
    return AcrossProcesses(Estimate(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)), spread)


def student_bound(freedom: float, confidence: float) -> float:
    """The t that |T| stays below with probability `confidence`; `freedom` is 1 or more and need not be whole.

    With T = sqrt(freedom) tan(a), the density of a is cos(a) ** (freedom - 1), which is integrated on a grid.
    """
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    # At the middle of each step: just above 1, the density falls to 0 within the last step alone.
    density = np.cos((angles[1:] + angles[:-1]) / 2) ** (freedom - 1)
    inside = np.concatenate([[0.0], np.cumsum(density)])
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence * inside[-1], inside, angles)))


def influence(numerator: Floats, denominator: Floats) -> Floats:
    """Per process and prompt [R, P], values whose mean over prompts is log(sum(numerator) / sum(denominator))."""
    top, bottom = numerator.mean(axis=1, keepdims=True), denominator.mean(axis=1, keepdims=True)
    return np.asarray(np.log(top / bottom) + numerator / top - denominator / bottom)
