"""Throttling during a run, from the clock readings in its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.metrics.guards import Guard

# Bits of NVML's clocks event reasons that mean the hardware could not hold its clocks.
SLOWED_BY = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
# Bits that ask for no warning: idle, clocks set by the user, synchronised with other GPUs, set by the display.
STEADY = 0x1 | 0x2 | 0x10 | 0x100


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One reading of the clocks. `gpu_reasons` are NVML's bits; the CPU counter only ever grows. None: not readable.

    `gpu` says whether a GPU was asked at all.
    """

    gpu_reasons: int | None = None
    cpu_throttle_events: int | None = None
    gpu: bool = False


def clock_guards(readings: Sequence[ClockReading]) -> list[Guard]:
    """A warning for each sign that the hardware slowed itself, from readings in the order they were taken.

    The GPU's bits hold for the moment of reading, so readings between prompts see more than one at each end.
    """
    found = []
    seen = 0
    for reading in readings:
        seen |= reading.gpu_reasons or 0
    names = [name for bit, name in SLOWED_BY.items() if seen & bit]
    if unknown := seen & ~STEADY & ~sum(SLOWED_BY):
        names.append(f"a reason of unknown meaning ({unknown:#x})")
    if names:
        message = f"the GPU reports {', '.join(names)}: clocks were not steady, times may drift"
        found.append(Guard("throttled_clocks", "warning", message))
    if readings and all(reading.gpu and reading.gpu_reasons is None for reading in readings):
        message = "the driver did not say whether the GPU held its clocks: throttling would not be noticed"
        found.append(Guard("unread_clocks", "info", message))
    counted = [reading.cpu_throttle_events for reading in readings if reading.cpu_throttle_events is not None]
    if counted and counted[-1] > counted[0]:
        message = f"the CPU was throttled {counted[-1] - counted[0]} times during the run: times may drift"
        found.append(Guard("throttled_clocks", "warning", message))
    return found


def record_of(reading: ClockReading) -> dict[str, int]:
    """A reading for the record, without the values that could not be read."""
    return {name: value for name, value in asdict(reading).items() if value is not None}


def reading_of(stored: Mapping[str, Any]) -> ClockReading:
    """A reading from its record."""
    known = ("gpu_reasons", "cpu_throttle_events", "gpu")
    return ClockReading(**{name: stored[name] for name in known if name in stored})
