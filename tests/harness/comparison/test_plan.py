"""A misfit is refused from `config.json` alone, in one line that names the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import RunConfig, read_config

TARGET: dict[str, Any] = {
    "model_type": "gemma4_text",
    "hidden_size": 64,
    "vocab_size": 100,
    "num_hidden_layers": 6,
    "max_position_embeddings": 512,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
}
TEXT: dict[str, Any] = {
    "vocab_size": 100,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}
MTP: dict[str, Any] = {
    "model_type": "gemma4_assistant",
    "backbone_hidden_size": 64,
    "text_config": TEXT,
}
DFLASH: dict[str, Any] = {
    "architectures": ["DFlashDraftModel"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "vocab_size": 100,
    "num_target_layers": 6,
    "block_size": 8,
    "intermediate_size": 96,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 16,
    "dflash_config": {"mask_token_id": 4, "target_layer_ids": [1, 4]},
}
Build = Callable[..., RunConfig]


def checkpoint(folder: Path, config: dict[str, Any]) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({}, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def make(
        target: dict[str, Any] | None = None,
        mtp: dict[str, Any] | None = None,
        dflash: dict[str, Any] | None = None,
        **options: Any,
    ) -> RunConfig:
        paths = {
            name: checkpoint(tmp_path / name, {**base, **(change or {})})
            for name, base, change in [("target", TARGET, target), ("mtp", MTP, mtp), ("dflash", DFLASH, dflash)]
        }
        drafters = {name: {"path": paths.get(name)} for name in ("mtp", "dflash")}
        return read_config(
            {
                "target": {"path": paths["target"]},
                "dataset": {"path": "unused.jsonl"},
                "drafters": {**drafters, "lookup": {}, "odd": {"kind": "odd"}},
                "drafter": ["mtp", "dflash"],
                **options,
            }
        )

    return make


def test_each_arm_takes_its_own_default(build: Build) -> None:
    plan = preflight(build(drafter=["mtp", "dflash", "lookup"]))
    assert [(arm.name, arm.k, arm.native_block) for arm in plan.arms] == [
        ("mtp", 4, None),
        ("dflash", 7, 8),
        ("lookup", 4, None),
    ]
    assert plan.context == 512


def test_num_draft_tokens_is_the_tokens_drafted_and_width_is_one_more(build: Build) -> None:
    plan = preflight(build(num_draft_tokens=7))
    assert [(arm.k, arm.verify_width) for arm in plan.arms] == [(7, 8), (7, 8)]


def test_configs_of_multimodal_wrappers_are_read_at_their_text_part(build: Build) -> None:
    wrapped = dict.fromkeys(TARGET) | {"model_type": "gemma4", "text_config": TARGET}
    assert preflight(build(target=wrapped)).context == 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"model_type": "llama"}}, "model_type is 'llama', expected a Gemma 4 model"),
        ({"target": {"hidden_size": None}}, "its config.json has no hidden_size"),
        ({"mtp": {"model_type": "gemma4_text"}}, "drafters.mtp.path={mtp}: model_type"),
        ({"mtp": {"mixing": True}}, "config.json has mixing=true, which is not known for an assistant"),
        ({"dflash": {"mixing": True}}, "config.json has mixing=true, which is not known for a z-lab DFlash drafter"),
        ({"mtp": {"backbone_hidden_size": 32}}, "drafters.mtp.path={mtp}: the drafter's backbone_hidden_size is 32"),
        ({"mtp": {"text_config": {**TEXT, "vocab_size": 99}}}, "drafter's vocab_size is 99, expected 100"),
        ({"mtp": {"text_config": {**TEXT, "sliding_window": 8}}}, "drafter's sliding_window is 8, expected 16"),
        (
            {"dflash": {"hidden_size": 32}},
            "drafters.dflash.path={dflash}: the drafter's hidden_size is 32, expected 64",
        ),
        ({"dflash": {"vocab_size": 99}}, "vocab_size is 99, expected 100"),
        ({"dflash": {"num_target_layers": 5}}, "num_target_layers is 5, expected 6"),
        ({"dflash": {"dflash_config": {"mask_token_id": 4, "target_layer_ids": [1, 6]}}}, "6, expected 0 to 5"),
        ({"dflash": {"dflash_config": {"mask_token_id": 100, "target_layer_ids": [1]}}}, "mask_token_id is 100"),
        ({"num_draft_tokens": 8}, "drafters.dflash.num_draft_tokens=8: expected 7 or less"),
        ({"drafter": "odd"}, "drafters.odd.kind=odd: expected one of mtp, dflash, lookup, oracle, random"),
    ],
)
def test_a_misfit_is_named(tmp_path: Path, build: Build, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        preflight(build(**change))
    assert message.format(mtp=tmp_path / "mtp", dflash=tmp_path / "dflash") in str(error.value)
    assert "\n" not in str(error.value)


def test_vllm_may_be_asked_for_more_than_the_block(build: Build) -> None:
    """Its mask slots are as many as it is asked for; published figures were taken with twice the block."""
    plan = preflight(build(num_draft_tokens=16, engine={"name": "vllm"}))
    assert [(arm.k, arm.native_block) for arm in plan.arms] == [(16, None), (16, 8)]


def with_path(key: str, path: Path) -> RunConfig:
    drafters = {"mtp": {"path": str(path)}} if key == "mtp" else {}
    target = str(path) if key == "target" else "unused"
    return read_config(
        {"target": {"path": target}, "dataset": {"path": "x"}, "drafters": drafters, "drafter": list(drafters)}
    )


def test_missing_folders_files_and_formats_are_told_apart(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.write_text("x")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    broken = tmp_path / "broken"
    checkpoint(broken, {})
    (broken / "config.json").write_text("{")
    for path, message in [
        (tmp_path / "absent", "no such folder"),
        (empty, "has no config.json"),
        (file, "a file, expected the folder that holds it"),
        (pickled, "weights are read from safetensors files only"),
        (broken, "is not valid JSON"),
    ]:
        with pytest.raises(InputError, match=message) as error:
            preflight(with_path("target", path))
        assert "target.path" in str(error.value)
        assert str(path) in str(error.value)


def test_a_target_without_a_known_drafter_asks_for_its_path(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "target", TARGET)
    config = read_config(
        {"target": {"path": path}, "dataset": {"path": "x"}, "drafters": {"mtp": {}}, "drafter": "mtp"}
    )
    with pytest.raises(InputError, match=r"drafters\.mtp\.path is empty"):
        preflight(config)
