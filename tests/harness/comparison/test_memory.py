"""The estimate from config.json alone equals the bytes that the run allocates, and a run too large is refused early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from drafters.base import Sampling
from drafters.checkpoints.dflash import load_dflash, parse_config
from drafters.checkpoints.files import Stored
from drafters.errors import InputError
from harness import load_drafter, load_target
from harness.comparison import models
from harness.comparison.memory import (
    available_bytes,
    check_room,
    context_bytes,
    drafter_weight_bytes,
    estimate_memory,
    shortage,
    spread_of,
    target_cache_bytes,
    target_weight_bytes,
)
from harness.comparison.plan import preflight
from harness.config import RunConfig, read_config
from harness.run import gather
from harness.target.target import Target
from tests.helpers import drafter_folders as folders
from tests.helpers import published_drafters as published
from tests.helpers.checkpoint_folders import write_prompts

pytestmark = pytest.mark.usefixtures("blank_charts")

BF16, FP32 = torch.bfloat16, torch.float32


def built(name: str) -> Target:
    """A target of the reduced structure, unsaved."""
    import transformers

    raw = folders.small_text(name)
    config = transformers.CONFIG_MAPPING[raw["model_type"]].from_dict(raw)
    kind = "Gemma4UnifiedForCausalLM" if name == "12B" else "Gemma4ForCausalLM"
    return load_target(getattr(transformers, kind)(config))


@pytest.mark.parametrize("name", published.NAMES)
def test_target_cache_is_what_a_decoder_allocates(name: str) -> None:
    target = built(name)
    for batch, capacity, k in [(1, 64, 4), (3, 300, 15), (2, 12, 1)]:
        cache = target.new_cache(batch, capacity, k + 1)
        allocated = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers if layer is not None)
        assert target_cache_bytes(folders.small_target(name), FP32, batch, capacity, k) == allocated


@pytest.mark.parametrize("name", published.NAMES)
def test_target_weights_are_those_of_the_text_part(name: str) -> None:
    model: Any = built(name).model
    held = {tensor.data_ptr(): tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]}
    assert target_weight_bytes(folders.small_target(name), FP32) == sum(held.values())


@pytest.mark.parametrize(
    "raw", [folders.small_zlab("31B"), folders.small_deepspec(), folders.small_speculators("dspark", "31B")]
)
def test_block_drafters(tmp_path: Path, raw: dict[str, Any]) -> None:
    folder = folders.write_block(tmp_path, raw)
    model = load_dflash(folder, "test", torch.device("cpu"), FP32)
    assert drafter_weight_bytes(raw, FP32) == sum(t.nbytes for t in [*model.parameters(), *model.buffers()])
    target = built("12B" if "Gemma4DSparkModel" in raw["architectures"] else "31B")
    drafter: Any = load_drafter("dflash", str(folder), target=target)
    noise = torch.zeros(2, 200, dtype=torch.float64)
    for k in (1, 5):
        drafter.begin(target.view(target.new_cache(2, 200, k + 1)), 2, 200, k, Sampling(), noise)
        held = sum(buffer.keys.nbytes + buffer.values.nbytes for buffer in drafter.buffers)
        assert context_bytes(parse_config(raw), FP32, 2, 200, k) == held


def test_full_size_figures() -> None:
    raw = published.target("31B")
    assert target_weight_bytes(raw, BF16) == pytest.approx(61.4e9, rel=0.001)
    # Past the window only the full layers grow: 10 layers, 4 heads of 512, keys and values in bf16.
    grown = target_cache_bytes(raw, BF16, 1, 9000, 4) - target_cache_bytes(raw, BF16, 1, 8000, 4)
    assert grown / 1000 == 81_920
    shared = published.target("E2B")
    grown = target_cache_bytes(shared, BF16, 1, 9000, 4) - target_cache_bytes(shared, BF16, 1, 8000, 4)
    assert grown / 1000 == 3 * 2048  # three full layers keep their own, one head of 512
    assert drafter_weight_bytes(published.assistant("31B"), BF16) == pytest.approx(0.939e9, rel=0.01)
    assert drafter_weight_bytes(published.zlab("31B"), BF16) == pytest.approx(3.07e9, rel=0.01)


def test_a_run_is_the_sum_of_its_parts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = [("baseline", None, 0), ("mtp", published.assistant("31B"), 8), ("dflash", published.zlab("31B"), 15)]
    memory = estimate_memory(published.target("31B"), arms, BF16, batch=4, capacity=4096)
    assert memory.total == memory.target_weights + sum(arm.total for arm in memory.arms) + memory.activations
    assert len({arm.target_cache for arm in memory.arms}) == 3  # rings widen with k, by steps
    line = memory.text()
    assert "target 61.39 GB" in line
    assert "mtp 0.94 GB" in line
    assert "dflash 3.07 GB" in line

    sampled = estimate_memory(published.target("31B"), arms, BF16, batch=4, capacity=4096, sampling=True)
    assert sampled.activations > memory.activations

    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: 40_000_000_000)
    lack = shortage(memory, torch.device("cpu"))
    assert lack is not None
    assert "cpu has 40.00 GB free" in lack
    assert "\n" not in lack
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: memory.total)
    assert shortage(memory, torch.device("cpu")) is None


def test_a_quantized_target_is_as_large_as_its_files() -> None:
    raw = published.target("31B") | {"quantization_config": {"quant_method": "compressed-tensors"}}
    stored = {"a": Stored((1000, 10), "U8"), "b": Stored((10,), "BF16")}
    assert target_weight_bytes(raw, BF16, stored) == 10_020
    with pytest.raises(InputError, match="as large as its files"):
        target_weight_bytes(raw, BF16)


def test_free_memory_of_this_machine_is_known() -> None:
    free = available_bytes(torch.device("cpu"))
    assert free is None or free > 0


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
    monkeypatch.setattr("harness.comparison.memory.held_bytes", lambda: 10)
    assert room(configured(pair)).total == needed


@pytest.mark.parametrize("where", ["auto", {"model.layers": 1, "model": 0, "lm_head": 0, "model.norm": "cpu"}])
def test_a_spread_target_may_take_the_memory_of_all_its_devices(
    pair: dict[str, str], monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    needed = room(configured(pair)).total
    third = -(-needed // 3)
    monkeypatch.setattr("harness.comparison.memory.held_bytes", lambda: 0)
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: third)
    assert room(configured(pair, device_map=where)).total == needed
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: third - 1)
    with pytest.raises(InputError, match=r"the run needs .*cuda:1.* has 0\.00 GB free"):
        room(configured(pair, device_map=where))


@pytest.mark.parametrize("target", [{"device_map": {"": "disk"}}, {"tp_plan": "auto"}, {"quantization": {"bits": 4}}])
def test_memory_that_the_configs_do_not_determine_is_not_guessed(pair: dict[str, str], target: dict[str, Any]) -> None:
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
