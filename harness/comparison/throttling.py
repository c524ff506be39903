"""Reads from GPU and CPU whether they throttle, where they can be read.

Reading asks the driver, or opens a few small files, so it belongs before, after and between prompts, never within one.
"""

from __future__ import annotations

from pathlib import Path

from harness.metrics.clocks import ClockReading
from harness.records.nvml import clock_reasons

CPU_COUNTERS = "/sys/devices/system/cpu"


def read_clocks(gpu: str | None, counters: str | Path = CPU_COUNTERS) -> ClockReading:
    """Clock reading of the GPU `gpu` (machine.gpu_name; None for no GPU) and the CPU; unreadable parts are None."""
    reasons = None if gpu is None else clock_reasons(gpu)
    return ClockReading(reasons, _cpu_throttle_events(Path(counters)), gpu is not None)


def _cpu_throttle_events(folder: Path) -> int | None:
    counts = []
    for path in folder.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"):
        try:
            counts.append(int(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return sum(counts) if counts else None
