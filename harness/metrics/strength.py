"""The floor of every round, from the shapes and rates in a run's manifest, and how near the measured rounds come.

Definitions: `strength`, `floor_ms` and `speedup_at_floor` in definitions.py beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drafters.costs.shape import (
    DraftShape,
    PassShape,
    Rates,
    cost,
    draft_seconds,
    draft_shape,
    least_seconds,
    pass_shape,
    rates_of,
)
from harness.records.files import MANIFEST
from harness.records.stored import warn_once
from harness.vocabulary import BASELINE

#: Sums of a generation's floors, in seconds.
FLOOR_SUMS = ("verify_floor_s", "draft_floor_s")
#: A baseline below this share of its floor is named in the headline.
WEAK = 0.5
#: Above this the floor itself is in doubt.
TOO_GOOD = 1.05

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Floors:
    """What the floors of a run rest on. `size` is the bytes of a number; arms without an entry have no draft floor."""

    rates: Rates
    size: int
    target: PassShape
    drafters: Mapping[str, DraftShape]

    def of_rounds(self, generations: pd.DataFrame, owner: NDArray[np.intp], rounds: pd.DataFrame) -> dict[str, Seconds]:
        """Seconds of each round's verify and draft floor; NaN where the drafter's shape is unknown.

        `owner` is each round's row of `generations`. Every row of a batch counts as standing at the same context.
        """
        found = {name: np.full(len(rounds), np.nan) for name in FLOOR_SUMS}
        position, drafted = (rounds[name].to_numpy().astype(float) for name in ("position", "drafted"))
        alike = generations.groupby(["arm", "num_draft_tokens", "batch_size"], sort=False).ngroup().to_numpy()[owner]
        for number in np.unique(alike):
            chosen = np.flatnonzero(alike == number)
            about = generations.iloc[owner[chosen[0]]]
            arm, k, batch = str(about["arm"]), int(about["num_draft_tokens"]), int(about["batch_size"])
            verify, draft = self._of_arm(arm, k, batch, drafted[chosen], position[chosen])
            found["verify_floor_s"][chosen], found["draft_floor_s"][chosen] = verify, draft
        return found

    def _of_arm(self, arm: str, k: int, batch: int, drafted: Seconds, context: Seconds) -> tuple[Any, Any]:
        drafter = DraftShape() if arm == BASELINE else self.drafters.get(arm)
        round_bytes = float(self.size * (self.target.numbers + (drafter.numbers if drafter is not None else 0)))
        verified = cost(self.target, drafted + 1, context, batch=batch, size=self.size)
        verify = least_seconds(verified, self.rates.bytes_per_s(round_bytes), self.rates.operations_per_s)
        if drafter is None:
            return verify, np.nan
        options: dict[str, Any] = {"k": k, "batch": batch, "size": self.size, "round_bytes": round_bytes}
        return verify, draft_seconds(drafter, drafted, context, rates=self.rates, **options)


def read_floors(manifest: Mapping[str, Any]) -> Floors | None:
    """The floors that a manifest describes; None for one that has none, and with a warning for one that is damaged."""
    stored = manifest.get("floor")
    if not isinstance(stored, Mapping) or "rates" not in stored:
        return None
    try:
        drafters = {str(arm): draft_shape(one) for arm, one in stored["drafters"].items() if one is not None}
        return Floors(rates_of(stored["rates"]), int(stored["bytes"]), pass_shape(stored["target"]), drafters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        warn_once(f"{MANIFEST}: its entry `floor` cannot be read ({error}), so no floor is shown")
        return None


def add_strength(figures: dict[str, pd.Series], of_baseline: Callable[[pd.Series], pd.Series]) -> None:
    """Add the figures of floors to those of the cells; `of_baseline` spreads the baseline's over its cells."""
    rounds = figures["timed_rounds"].where(figures["timed_rounds"] > 0)
    verify, draft = (figures[name].where(rounds.notna()) for name in FLOOR_SUMS)
    measured = figures["draft_s"] + figures["verify_s"] + figures["other_s"]
    # Another engine reports no parts of its rounds: then the whole of its decoding counts.
    measured = measured.where(measured.notna(), figures["decode_s_with_rounds"])
    floor = verify + draft
    figures["verify_floor_ms"], figures["draft_floor_ms"] = 1e3 * verify / rounds, 1e3 * draft / rounds
    figures["floor_ms"] = 1e3 * floor / rounds
    figures["verify_strength"] = verify / figures["verify_s"].where(figures["verify_s"] > 0)
    figures["draft_strength"] = draft.where(draft > 0) / figures["draft_s"].where(figures["draft_s"] > 0)
    figures["strength"] = floor / measured.where(measured > 0)
    figures["baseline_strength"] = of_baseline(figures["strength"])
    step = of_baseline(figures["floor_ms"])
    figures["speedup_at_floor"] = figures["acceptance_length"] * step / figures["floor_ms"]
