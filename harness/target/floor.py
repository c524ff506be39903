"""The floor of a target's passes on this machine: what their bytes and operations take at the device's own rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from drafters.costs.gemma4 import target_shape
from drafters.costs.shape import DraftShape, cost, least_seconds
from drafters.registry import kind_of, resolve
from harness.records.progress import warn
from harness.target.devices import parse_dtype
from harness.target.quantization import quantization_of
from harness.target.rates import identity, measured_rates

TYPICAL_CONTEXT = 256  # positions; a one-row pass reads mostly weights


def one_row_floor_s(
    raw: dict[str, Any], device: torch.device, dtype: torch.dtype, context: int = TYPICAL_CONTEXT
) -> float:
    """Seconds that a one-row pass takes at least, from a target's config.json (or its text part) and measured rates.

    `execution=auto` can tell by it whether the host would dominate: an eager pass of a layer costs the host tens of
    microseconds whatever its size. The rates are measured in under a second where this machine's cache lacks them.
    """
    shape = target_shape(raw)
    moved = cost(shape, 1, context, size=dtype.itemsize)
    rates = measured_rates(device, dtype, [dtype.itemsize * shape.numbers])
    bandwidth = rates.bytes_per_s(dtype.itemsize * shape.numbers)
    return float(least_seconds(moved, bandwidth, rates.operations_per_s))


def describe_floor(
    target_config: dict[str, Any],
    arms: Mapping[str, tuple[str, dict[str, Any] | None]],
    device: torch.device,
    dtype: str,
    placement: str | None,
    loaded: bool,
) -> dict[str, Any]:
    """What the floor of each round rests on, for the manifest: shapes of target and drafters, rates of the device.

    `arms` are each arm's kind and its drafter's config.json. Rates are measured where the cache lacks them; `unknown`
    says why there is no floor, as when the models are not `loaded` here. A failure is a warning and costs no run.
    """
    if not loaded:
        return {"unknown": "another engine holds the models"}
    if quantization_of(target_config) is not None:
        return {"unknown": "the target's weights are quantized"}
    if placement not in (None, str(device)):
        return {"unknown": f"the target is spread ({placement})"}
    try:
        number_type = parse_dtype(dtype)
        target = target_shape(target_config)
        drafters = {name: drafter_shape(kind, raw, target_config) for name, (kind, raw) in arms.items()}
        known = [one for one in drafters.values() if one is not None]
        numbers = [target.numbers, *(one.numbers for one in known), *(target.numbers + one.numbers for one in known)]
        rates = measured_rates(device, number_type, [number_type.itemsize * number for number in numbers if number])
    except Exception as error:
        warn(f"no floor is known: {type(error).__name__}: {error}")
        return {"unknown": f"{type(error).__name__}: {error}"}
    return {
        "bytes": number_type.itemsize,
        "rates": {**identity(device, number_type), **asdict(rates)},
        "target": asdict(target),
        "drafters": {name: None if one is None else asdict(one) for name, one in drafters.items()},
    }


def drafter_shape(kind: str, raw: dict[str, Any] | None, target_config: dict[str, Any]) -> DraftShape | None:
    """The passes of a drafter of `kind`; none for a control, None for a network whose kind does not say."""
    about = kind_of(kind)
    if not about.trained:
        return DraftShape()
    if about.costs is None or raw is None:
        return None
    shape = resolve(about.costs)(raw, target_config)
    assert isinstance(shape, DraftShape)
    return shape
