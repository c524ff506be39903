"""A run that is too large for its device is refused from its configs, before weights are fetched or read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.comparison import models
from harness.comparison.plan import preflight
from harness.comparison.room import check_room, spread_of
from harness.config.run import RunConfig, read_config
from harness.errors import InputError
from harness.run import gather
from tests.helpers.checkpoint_folders import write_pair, write_prompts


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"))


def configured(pair: dict[str, str], **target: Any) -> RunConfig:
    return read_config(
        {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu", **target},
            "dataset": {"path": "rows.jsonl"},
            "drafters": {name: {"path": pair[name]} for name in ("mtp", "dflash")},
            "drafter": ["mtp", "dflash"],
        }
    )


def room(config: RunConfig) -> Any:
    return check_room(config, preflight(config), 100)


def test_the_estimate_names_every_arm(pair: dict[str, str]) -> None:
    memory = room(configured(pair))
    assert [arm.name for arm in memory.arms] == ["baseline", "mtp", "dflash"]
    assert memory.target_weights > 0 and all(arm.weights > 0 for arm in memory.arms[1:])


def test_too_large_is_said_with_numbers_and_ways_out(pair: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    models.release()
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: 1000)
    with pytest.raises(InputError, match=r"the run needs .* cpu has .* free\. Lower batch_size"):
        room(configured(pair))


def test_a_target_held_from_an_earlier_job_is_not_counted_twice(
    pair: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = room(configured(pair)).total
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: needed - 10)
    monkeypatch.setattr("harness.comparison.room.held_bytes", lambda: 10)
    assert room(configured(pair)).total == needed


@pytest.mark.parametrize("where", ["auto", {"model.layers": 1, "model": 0, "lm_head": 0, "model.norm": "cpu"}])
def test_a_spread_target_may_take_the_memory_of_all_its_devices(
    pair: dict[str, str], monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    needed = room(configured(pair)).total
    third = -(-needed // 3)
    monkeypatch.setattr("harness.comparison.room.held_bytes", lambda: 0)
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: third)
    assert room(configured(pair, device_map=where)).total == needed
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: third - 1)
    with pytest.raises(InputError, match=r"the run needs .*cuda:1.* has 0\.00 GB free"):
        room(configured(pair, device_map=where))


@pytest.mark.parametrize("target", [{"device_map": {"": "disk"}}, {"tp_plan": "auto"}, {"quantization": {"bits": 4}}])
def test_what_the_configs_do_not_tell_is_not_guessed(pair: dict[str, str], target: dict[str, Any]) -> None:
    assert room(configured(pair, **target)) is None


def test_a_quantized_checkpoint_is_left_to_its_files(pair: dict[str, str]) -> None:
    config = configured(pair)
    plan = preflight(config)
    plan.target_config["quantization_config"] = {"quant_method": "fp8"}
    assert check_room(config, plan, 100) is None


def test_it_is_asked_before_anything_is_read(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(pair)
    config.dataset.path = write_prompts(tmp_path / "rows.jsonl")
    monkeypatch.setattr("harness.run.describe_models", lambda config, plan: pytest.fail("files were read"))
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="the run needs"):
        gather(config)
    assert json.dumps(config.to_dict())


@pytest.mark.parametrize(
    ("target", "spread"),
    [
        ({}, None),
        ({"device_map": "auto"}, None),
        ({"device_map": {"model": 0, "lm_head": 0}}, None),
        ({"device_map": {"model": 0, "lm_head": 1}}, "0 + 1"),
        ({"device_map": {"": "disk"}}, "disk"),
        ({"tp_plan": "auto"}, "tp_plan=auto"),
    ],
    ids=str,
)
def test_a_spread_that_the_configuration_tells_is_known_before_loading(
    pair: dict[str, str], target: dict[str, Any], spread: str | None
) -> None:
    config = configured(pair, **target)
    assert spread_of(config.target) == spread
    config.execution = "compile"
    if spread is not None:
        with pytest.raises(InputError, match="runs eagerly only"):
            gather(config)
