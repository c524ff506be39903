"""The hardware, the package versions and the source revision of a run."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from harness.records.nvml import gpu_facts

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy", "hydra-core")


def versions() -> dict[str, str | None]:
    """Versions of Python, the harness and the packages that decide its numbers; None if not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for package in ("drafthouse", *PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the source tree that runs, and whether it is `dirty`; None if it is not a checkout."""
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    status = _output(["git", "-C", str(folder), "status", "--porcelain"])
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def hardware(device: torch.device) -> dict[str, Any]:
    """Processor, memory, threads and the accelerator in use."""
    described: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "device": str(device),
        "gpu": None,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described["gpu"] = {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            **gpu_facts(str(gpu_name(device))),
        }
    return described


def gpu_name(device: torch.device) -> str | None:
    """NVML's name of `device` (harness.records.nvml); None for no GPU."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(device.index or 0) if uuid is None else f"GPU-{uuid}"


def cpu_name() -> str:
    """The processor's model, as far as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return int(psutil.virtual_memory().total)
    except OSError:  # a system that hides it
        return None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
