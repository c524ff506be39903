"""The rates of a device are measured once and kept; a cache in any state never stops a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from drafters.costs.gemma4 import target_shape
from harness.config.target import asset
from harness.metrics.strength import read_floors
from harness.records.cache import VARIABLE
from harness.target import rates
from harness.target.floor import describe_floor, one_row_floor_s

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(rates, "fastest", lambda *_: 0.5)  # seconds of any call


def kept(folder: Path) -> Path:
    (file,) = (folder / "rates").glob("*.json")
    return file


def test_a_later_run_measures_what_is_missing_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rates.measured_rates(CPU, torch.float32, [1 << 20])
    assert first.operations_per_s > 0 and json.loads(kept(tmp_path).read_text())["dtype"] == "float32"
    monkeypatch.setattr(rates, "product_rate", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(rates, "bandwidth", lambda _, size: float(size))
    found = json.loads(kept(tmp_path).read_text())
    kept(tmp_path).write_text(json.dumps({**found, "busy": False}))
    both = rates.measured_rates(CPU, torch.float32, [1 << 20, 1 << 21])
    assert both.bandwidths == (*first.bandwidths, (1 << 21, float(1 << 21)))


def test_rates_of_a_busy_machine_are_measured_again_and_only_rise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rates.measured_rates(CPU, torch.float32, [1 << 20])
    found = json.loads(kept(tmp_path).read_text())
    kept(tmp_path).write_text(json.dumps({**found, "busy": True}))
    monkeypatch.setattr(rates, "product_rate", lambda *_: 2 * first.operations_per_s)
    monkeypatch.setattr(rates, "bandwidth", lambda *_: 1.0)
    again = rates.measured_rates(CPU, torch.float32, [1 << 20])
    assert again.operations_per_s == 2 * first.operations_per_s and again.bandwidths == first.bandwidths


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"operations_per_s": "x", "bandwidths": [[1, 2]]}', "{"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: str) -> None:
    first = rates.measured_rates(CPU, torch.float32, [1 << 20])
    kept(tmp_path).write_text(content)
    assert rates.measured_rates(CPU, torch.float32, [1 << 20]) == first


def test_a_cache_that_cannot_be_written_costs_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert rates.measured_rates(CPU, torch.float32, [1]).operations_per_s > 0


def test_near_sizes_share_a_bandwidth_and_none_is_rounded_up() -> None:
    assert rates.rounded(23_100_000, CPU) == rates.rounded(23_200_000, CPU) <= 23_100_000
    assert rates.rounded(1, CPU) == rates.LEAST_BYTES and rates.rounded(1e15, CPU) == rates.MOST_BYTES["cpu"]


def test_a_small_target_has_a_floor(tmp_path: Path) -> None:
    raw = json.loads((Path(asset("target")) / "config.json").read_text())
    one = one_row_floor_s(raw, CPU, torch.float32)
    assert 0 < one < one_row_floor_s(raw, CPU, torch.float32, context=1024)


def test_a_manifest_gets_shapes_and_rates_or_the_reason_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    raw = {name: json.loads((Path(asset(name)) / "config.json").read_text()) for name in ("target", "mtp", "dflash")}
    arms = {"mtp": ("mtp", raw["mtp"]), "dflash": ("dflash", raw["dflash"]), "lookup": ("lookup", None)}
    target, dtype = raw["target"], "float32"
    found = describe_floor(target, arms, CPU, dtype, "cpu", True)
    floors = read_floors(json.loads(json.dumps({"floor": found})))
    assert floors is not None and floors.size == 4 and set(floors.drafters) == {"mtp", "dflash", "lookup"}
    assert floors.target == target_shape(target) and floors.drafters["lookup"].numbers == 0
    assert "another engine" in describe_floor(target, arms, CPU, dtype, "cpu", False)["unknown"]
    assert "spread" in describe_floor(target, arms, CPU, dtype, "cuda:0, cuda:1", True)["unknown"]
    quantized = {**target, "quantization_config": {"quant_method": "gptq"}}
    assert "quantized" in describe_floor(quantized, arms, CPU, dtype, "cpu", True)["unknown"]
    assert "KeyError" in describe_floor({"layer_types": []}, arms, CPU, dtype, "cpu", True)["unknown"]
    assert "no floor is known" in capsys.readouterr().err
