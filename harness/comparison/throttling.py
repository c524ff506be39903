"""Reads from GPU and CPU whether they throttle, where they can be read.

Reading takes a process or a few small files, so it belongs before, after and between prompts, never within one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

from harness.metrics.clocks import ClockReading

CPU_COUNTERS = "/sys/devices/system/cpu"


def read_clocks(gpu: str | None, counters: str | Path = CPU_COUNTERS) -> ClockReading:
    """Clock reading of the GPU `gpu` (see `gpu_name`; None for no GPU) and the CPU; unreadable parts are None."""
    reasons = None if gpu is None else _gpu_reasons(gpu)
    return ClockReading(reasons, _cpu_throttle_events(Path(counters)), gpu is not None)


def gpu_name(device: torch.device) -> str | None:
    """nvidia-smi's name of `device`; None for no GPU. A UUID, as its numbers ignore CUDA_VISIBLE_DEVICES."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(device.index or 0) if uuid is None else f"GPU-{uuid}"


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
