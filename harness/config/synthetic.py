"""Runs for planning: random weights, acceptance at assumed rates, or both.

Such a run measures the cost of a round. Acceptance is assumed, so the output means nothing: the run is labelled
wherever it shows, and no verdict is claimed for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from drafters.errors import InputError

CHECKPOINT, RANDOM = "checkpoint", "random"
WEIGHTS = (CHECKPOINT, RANDOM)
RATES_KEY = "verification.synthetic_acceptance"


def check_rates(rates: Any, key: str = RATES_KEY) -> tuple[float, ...]:
    """Unconditional acceptance rates per position, () for None. Raises InputError unless they lie in [0, 1] and never
    rise."""
    if rates is None:
        return ()
    numbers = isinstance(rates, list | tuple) and all(
        isinstance(rate, int | float) and not isinstance(rate, bool) for rate in rates
    )
    steps = [1.0, *rates] if numbers else []
    if not numbers or any(not 0.0 <= rate <= 1.0 for rate in rates) or any(a < b for a, b in itertools.pairwise(steps)):
        raise InputError(
            f"{key}={rates}: expected a list of rates between 0 and 1 that never rise (each is the share of rounds in "
            "which that position and all before it stand)"
        )
    return tuple(float(rate) for rate in rates)


def check_count(rates: Sequence[float], k: int, arm: str, key: str = RATES_KEY) -> None:
    """Raises InputError where `rates` are fewer than the `k` positions that `arm` drafts; more do no harm."""
    if rates and len(rates) < k:
        raise InputError(
            f"{key} has {len(rates)} rates, but {arm} drafts {k} tokens a round: expected {k} rates or more, "
            f"or drafters.{arm}.num_draft_tokens={len(rates)}"
        )
