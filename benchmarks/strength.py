"""The floor of a round of loaded models, for benchmarks that time rounds themselves."""

from __future__ import annotations

from typing import Any

from drafters.costs.block import shape_of
from drafters.costs.gemma4 import assistant_shape, target_shape
from drafters.costs.shape import DraftShape, Rates, cost, draft_seconds, least_seconds
from drafters.dflash.drafter import DFlashDrafter
from drafters.mtp import MTPDrafter
from harness.target.rates import measured_rates

PARTS = ("draft", "verify", "other")


def draft_shape_of(drafter: Any) -> DraftShape:
    """The passes of a loaded drafter; none for the baseline (None) and for a control."""
    if isinstance(drafter, MTPDrafter):
        return assistant_shape(drafter.model.config.to_dict(), {})
    return shape_of(drafter.config) if isinstance(drafter, DFlashDrafter) else DraftShape()


def rates_for(target: Any, drafter: Any) -> Rates:
    """The rates of the target's device for the working sets of a round, measured where the cache lacks them."""
    size, shape, draft = target.dtype.itemsize, target_shape(target.config.to_dict()), draft_shape_of(drafter)
    numbers = (shape.numbers, draft.numbers, shape.numbers + draft.numbers)
    return measured_rates(target.device, target.dtype, [size * number for number in numbers if number])


def floor_ms(target: Any, drafter: Any, k: int, context: int, batch: int = 1) -> dict[str, float]:
    """Milliseconds of the floor of a round with k drafts: draft, verify, and the whole."""
    size, shape, draft = target.dtype.itemsize, target_shape(target.config.to_dict()), draft_shape_of(drafter)
    rates, weights = rates_for(target, drafter), float(size * (shape.numbers + draft.numbers))
    verified = cost(shape, k + 1, context, batch=batch, size=size)
    verify = least_seconds(verified, rates.bytes_per_s(weights), rates.operations_per_s)
    options: dict[str, Any] = {"k": k, "batch": batch, "size": size, "rates": rates, "round_bytes": weights}
    drafted = draft_seconds(draft, k, context, **options)
    found = {"draft_floor_ms": 1e3 * float(drafted), "verify_floor_ms": 1e3 * float(verify)}
    return {**found, "floor_ms": sum(found.values())}


def strengths(floors: dict[str, float], draft: float, verify: float, other: float) -> dict[str, float | None]:
    """Floors over measured milliseconds: of a pass alone, and of the whole round with the host's time."""
    return {
        "draft_strength": floors["draft_floor_ms"] / draft if floors["draft_floor_ms"] and draft else None,
        "verify_strength": floors["verify_floor_ms"] / verify if verify else None,
        "strength": floors["floor_ms"] / (draft + verify + other),
    }
