"""What a run measures besides its prompts, in milliseconds: tests ask what is made of it, and few how exact it is.

A busy machine's rates are measured again by every run, and while the suite runs, the machine is busy. The cost table
gets the k that every table has: the baseline's and each arm's own.
"""

from __future__ import annotations

from harness.comparison import arms, costs
from harness.target import rates


def measure_quickly() -> None:
    """Let each measurement of this process be the fastest of a few calls."""
    rates.BANDWIDTH_S = rates.PRODUCTS_S = 0.003
    arms.WARM_UP_ROUNDS = 1
    costs.BUDGET_S, costs.SWEEPS, costs.PASSES = 0.0, 1, 2
