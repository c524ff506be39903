"""One GPU through NVIDIA's management library: its settings, and the reasons why it does not run at full clocks.

A GPU is named by its UUID (`GPU-...`), since the library's numbers ignore CUDA_VISIBLE_DEVICES, or by a number where it
has none. Whatever the library, the driver or the GPU does not tell is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


def gpu_facts(gpu: str) -> dict[str, str]:
    """The driver and the settings that decide a GPU's speed, under nvidia-smi's names and in its notation."""
    library = opened()
    device = handle(gpu)
    if library is None or device is None:
        return {}
    reading: dict[str, Callable[[], str]] = {
        "driver_version": lambda: library.nvmlSystemGetDriverVersion(),
        "power.limit": lambda: f"{library.nvmlDeviceGetPowerManagementLimit(device) / 1000:.2f} W",
        "clocks.max.sm": lambda: f"{library.nvmlDeviceGetMaxClockInfo(device, library.NVML_CLOCK_SM)} MHz",
        "clocks.max.mem": lambda: f"{library.nvmlDeviceGetMaxClockInfo(device, library.NVML_CLOCK_MEM)} MHz",
        "persistence_mode": lambda: switch(library.nvmlDeviceGetPersistenceMode(device)),
        "mig.mode.current": lambda: switch(library.nvmlDeviceGetMigMode(device)[0]),
    }
    found = {name: known(read) for name, read in reading.items()}
    return {name: str(value) for name, value in found.items() if value is not None}


def clock_reasons(gpu: str) -> int | None:
    """The bits of NVML's clocks event reasons now; None where they cannot be read."""
    library = opened()
    device = handle(gpu)
    if library is None or device is None:
        return None
    # Drivers before 535 know the older name alone.
    for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
        reasons = known(lambda: getattr(library, name)(device))  # noqa: B023  (called at once)
        if reasons is not None:
            return int(reasons)
    return None


@cache
def opened() -> Any:
    """The library, ready for use; None without it or without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        return None
    return pynvml


@cache
def handle(gpu: str) -> Any:
    """The library's handle of `gpu`; None where there is no such GPU."""
    library = opened()
    if library is None:
        return None
    if gpu.isdigit():
        return known(lambda: library.nvmlDeviceGetHandleByIndex(int(gpu)))
    return known(lambda: library.nvmlDeviceGetHandleByUUID(gpu))


def known(read: Callable[[], Any]) -> Any:
    """The value that `read` gives; None where the library, an older one perhaps, does not give it."""
    try:
        return read()
    except Exception:  # NVMLError, or AttributeError for a function that came later
        return None


def switch(on: int) -> str:
    return "Enabled" if on else "Disabled"
