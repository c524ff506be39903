"""A GPU's facts through NVIDIA's management library, which stands in here: absent, whole, and older than asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.records import nvml

GPU = "GPU-7"


class NVMLError(Exception):
    """What the library raises for anything that it cannot tell."""


def refuse(*arguments: Any) -> Any:
    raise NVMLError("not supported")


def by_uuid(uuid: str) -> str:
    return "the handle" if uuid == GPU else refuse()


WHOLE = {
    "NVML_CLOCK_SM": 1,
    "NVML_CLOCK_MEM": 2,
    "nvmlInit": lambda: None,
    "nvmlDeviceGetHandleByUUID": by_uuid,
    "nvmlDeviceGetHandleByIndex": lambda index: "the handle",
    "nvmlSystemGetDriverVersion": lambda: "570.1",
    "nvmlDeviceGetPowerManagementLimit": lambda device: 700_000,
    "nvmlDeviceGetMaxClockInfo": lambda device, kind: {1: 1980, 2: 2619}[kind],
    "nvmlDeviceGetPersistenceMode": lambda device: 1,
    "nvmlDeviceGetMigMode": lambda device: (0, 0),
    "nvmlDeviceGetCurrentClocksEventReasons": lambda device: 0x44,
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    for cached in (nvml.opened, nvml.handle):
        cached.cache_clear()
    yield
    for cached in (nvml.opened, nvml.handle):
        cached.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(**functions))


def test_facts_are_written_as_nvidia_smi_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of earlier versions asked nvidia-smi, and are compared with new ones."""
    install(monkeypatch, **WHOLE)
    assert nvml.gpu_facts(GPU) == {
        "driver_version": "570.1",
        "power.limit": "700.00 W",
        "clocks.max.sm": "1980 MHz",
        "clocks.max.mem": "2619 MHz",
        "persistence_mode": "Enabled",
        "mig.mode.current": "Disabled",
    }
    assert nvml.clock_reasons(GPU) == 0x44


def test_a_fact_that_the_gpu_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, **{**WHOLE, "nvmlDeviceGetMigMode": refuse, "nvmlDeviceGetPowerManagementLimit": refuse})
    assert set(nvml.gpu_facts(GPU)) == {"driver_version", "clocks.max.sm", "clocks.max.mem", "persistence_mode"}


def test_an_older_library_is_asked_by_the_older_name(monkeypatch: pytest.MonkeyPatch) -> None:
    older = {name: value for name, value in WHOLE.items() if not name.endswith("EventReasons")}
    install(monkeypatch, **older, nvmlDeviceGetCurrentClocksThrottleReasons=lambda device: 0x8)
    assert nvml.clock_reasons(GPU) == 0x8


@pytest.mark.parametrize(
    "functions", [None, {}, {"nvmlInit": refuse}, {**WHOLE, "nvmlDeviceGetHandleByUUID": refuse}]
)
def test_without_library_driver_or_gpu_nothing_is_known(
    functions: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if functions is None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
    else:
        install(monkeypatch, **functions)
    assert nvml.gpu_facts(GPU) == {}
    assert nvml.clock_reasons(GPU) is None
