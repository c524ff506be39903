"""Runs that plan rather than measure: random weights, acceptance at assumed rates, or both.

What a round costs is measured in such a run. What a drafter earns is assumed, and the output is nobody's answer; so the
run is labelled wherever it shows, and no verdict is claimed for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from drafters.errors import InputError

if TYPE_CHECKING:
    from harness.config.run import Arm

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
    """Raises InputError where `rates` leave out positions that `arm` drafts; more than its `k` do no harm."""
    if rates and len(rates) < k:
        raise InputError(
            f"{key} has {len(rates)} rates, but {arm} drafts {k} tokens a round: expected {k} rates or more, "
            f"or drafters.{arm}.num_draft_tokens={len(rates)}"
        )


def label(target_weights: str, arms: Iterable[Arm]) -> str | None:
    """What of a run is made up, in one sentence; None for a run of checkpoints and real acceptance."""
    arms = list(arms)
    random = [name for name, weights in (("target", target_weights), *((a.name, a.weights) for a in arms))
              if weights == RANDOM]  # fmt: skip
    assumed = [arm.name for arm in arms if arm.synthetic_acceptance]
    parts = [f"random weights ({', '.join(random)})"] if random else []
    parts += [f"assumed acceptance ({', '.join(assumed)})"] if assumed else []
    if not parts:
        return None
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}: what a round costs is measured, what it earns is not."

