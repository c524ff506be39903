"""The floor of a target's passes on this machine: what their bytes and operations take at the device's own rates."""

from __future__ import annotations

from typing import Any

import torch

from drafters.costs.gemma4 import target_shape
from drafters.costs.shape import cost, least_seconds
from harness.target.rates import measured_rates

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
