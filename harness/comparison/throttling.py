"""Whether the hardware held its clocks during a run, where that can be read.

Reading takes a process or a few small files, so it belongs before, after and between prompts, never within one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

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
CPU_COUNTERS = "/sys/devices/system/cpu"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the clocks. `gpu_reasons` are NVML's bits; the CPU counter only ever grows. None: not readable.

    `gpu` is whether a GPU was asked at all.
    """

    gpu_reasons: int | None = None
    cpu_throttle_events: int | None = None
    gpu: bool = False


def read_clocks(gpu: str | None, counters: str | Path = CPU_COUNTERS) -> ClockReading:
    """Read what can be read of the GPU `gpu` (see `gpu_name`; None for no GPU); nothing is raised for what cannot."""
    reasons = None if gpu is None else _gpu_reasons(gpu)
    return ClockReading(reasons, _cpu_throttle_events(Path(counters)), gpu is not None)


def gpu_name(device: torch.device) -> str | None:
    """What nvidia-smi calls `device`; None for no GPU. A UUID, as its numbers ignore CUDA_VISIBLE_DEVICES."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(device.index or 0) if uuid is None else f"GPU-{uuid}"


def clock_guards(readings: Sequence[ClockReading]) -> list[Guard]:
    """A warning for each sign that the hardware slowed itself, from readings in the order they were taken.

    The GPU's bits say what holds at the moment of reading, so readings between prompts see more than one at each end.
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
        message = "nvidia-smi did not say whether the GPU held its clocks: throttling would not be noticed"
        found.append(Guard("unread_clocks", "info", message))
    counted = [reading.cpu_throttle_events for reading in readings if reading.cpu_throttle_events is not None]
    if counted and counted[-1] > counted[0]:
        message = f"the CPU was throttled {counted[-1] - counted[0]} times during the run: times may drift"
        found.append(Guard("throttled_clocks", "warning", message))
    return found


def _gpu_reasons(gpu: str) -> int | None:
    # Drivers before 535 call the field clocks_throttle_reasons.
    for field in ("clocks_event_reasons.active", "clocks_throttle_reasons.active"):
        command = ["nvidia-smi", f"--id={gpu}", f"--query-gpu={field}", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            return int(answer.splitlines()[0], 16)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            continue
    return None


def _cpu_throttle_events(folder: Path) -> int | None:
    counts = []
    for path in folder.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"):
        try:
            counts.append(int(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return sum(counts) if counts else None


def as_dict(reading: ClockReading) -> dict[str, int]:
    """A reading as it stands in a record: what could be read."""
    return {name: value for name, value in asdict(reading).items() if value is not None}


def reading_of(stored: Mapping[str, Any]) -> ClockReading:
    """A reading from its record."""
    known = ("gpu_reasons", "cpu_throttle_events", "gpu")
    return ClockReading(**{name: stored[name] for name in known if name in stored})
