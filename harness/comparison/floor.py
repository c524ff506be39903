"""What the floor of each round rests on, for the manifest: shapes from configs, rates of the device."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from drafters.costs.gemma4 import target_shape
from drafters.costs.shape import DraftShape
from drafters.registry import kind_of, resolve
from harness.comparison.plan import Plan, PlannedArm
from harness.progress import warn
from harness.target.devices import parse_dtype
from harness.target.quantization import quantization_of
from harness.target.rates import identity, measured_rates


def describe_floor(plan: Plan, device: torch.device, dtype: str, placement: str | None, loaded: bool) -> dict[str, Any]:
    """Shapes of the target and of each arm's drafter, and this device's rates; `unknown` says why there is no floor.

    Rates are measured where the cache lacks them. Nothing here may cost a run: a failure is a warning.
    """
    if not loaded:
        return {"unknown": "another engine holds the models"}
    if quantization_of(plan.target_config) is not None:
        return {"unknown": "the target's weights are quantized"}
    if placement not in (None, str(device)):
        return {"unknown": f"the target is spread ({placement})"}
    try:
        kind = parse_dtype(dtype)
        target = target_shape(plan.target_config)
        drafters = {planned.name: drafter_shape(planned, plan) for planned in plan.arms}
        known = [one for one in drafters.values() if one is not None]
        numbers = [target.numbers, *(one.numbers for one in known), *(target.numbers + one.numbers for one in known)]
        rates = measured_rates(device, kind, [kind.itemsize * number for number in numbers if number])
    except Exception as error:
        warn(f"no floor is known: {type(error).__name__}: {error}")
        return {"unknown": f"{type(error).__name__}: {error}"}
    return {
        "bytes": kind.itemsize,
        "rates": {**identity(device, kind), **asdict(rates)},
        "target": asdict(target),
        "drafters": {name: None if one is None else asdict(one) for name, one in drafters.items()},
    }


def drafter_shape(planned: PlannedArm, plan: Plan) -> DraftShape | None:
    """The passes of an arm's drafter; none for a control, None for a kind that does not say."""
    kind = kind_of(planned.arm.kind)
    if not kind.trained:
        return DraftShape()
    if kind.costs is None or planned.drafter is None:
        return None
    shape = resolve(kind.costs)(planned.drafter, plan.target_config)
    assert isinstance(shape, DraftShape)
    return shape
