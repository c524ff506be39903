"""`python -m harness.inspect` says what a folder is, what it fits and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from drafters.errors import InputError
from harness.inspect import inspect, main
from harness.target.load import load_target
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers import drafter_folders as folders
from tests.helpers import published_drafters as published


def facts(path: Path, target: Path | None = None) -> dict[str, str]:
    found = inspect(str(path), None if target is None else str(target))
    assert found.usable, found.problems
    return dict(found.facts)


@pytest.fixture(scope="module")
def e2b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.write_target(tmp_path_factory.mktemp("target") / "e2b", "E2B")


def copy(source: Path, folder: Path, tensors: dict[str, Any], raw: dict[str, Any] | None = None) -> Path:
    """The checkpoint of `source` with other tensors and entries; a tensor of None is left out."""
    merged = {name: tensor for name, tensor in (folders.stored(source) | tensors).items() if tensor is not None}
    return folders.write(folder, json.loads((source / "config.json").read_text()) | (raw or {}), merged)


def test_a_target_is_described_by_its_text_part(e2b: Path) -> None:
    said = facts(e2b)
    assert said["layers"] == "10: 8 sliding, 2 full"
    assert said["full_attention keys"] == "1 heads of 16"
    assert "last 5 layers" in said["shared keys"]
    assert said["loaded"] == "the text part alone"


@pytest.mark.parametrize("name", published.NAMES)
def test_published_targets_are_recognised_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(published.target(name)))
    found = inspect(str(tmp_path))
    assert dict(found.facts)["is"].startswith(f"a target: Gemma 4 {name} ")
    assert found.problems == [f"{tmp_path} lacks model.safetensors; weights are read from safetensors files only"]


def test_a_drafter_names_its_conventions_and_what_it_fits(tmp_path: Path, e2b: Path) -> None:
    drafter = folders.write_block(tmp_path, folders.small_speculators("dspark", "E2B"))
    said = facts(drafter, e2b)
    assert said["is"] == "a drafter for dflash: speculators DSpark"
    assert said["taps"] == "outputs of target layers 0, 2, 5, 7"
    assert said["k"] == "1 to 5 from one pass of a block of 5"
    assert said["slot i"] == "drafts the token after its position"
    assert said["block input"] == "its own embedding times 1"
    assert said["head"] == "its own, 40 of 96 tokens"
    assert said["window"] == "12 back from the anchor"
    assert said["fits"] == str(e2b)


def test_a_drafter_for_another_target_is_refused(tmp_path: Path, e2b: Path) -> None:
    drafter = folders.write_assistant(tmp_path, "E4B")
    found = inspect(str(drafter), str(e2b))
    assert found.problems == [
        f"does not fit {e2b}: the drafter's backbone_hidden_size is 40, expected 24 as in the target"
    ]


def test_the_command_prints_and_exits_with_2_when_unusable(
    tmp_path: Path, e2b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(e2b)]) == EXIT_OK
    assert capsys.readouterr().out.rstrip().endswith("usable")
    assert main([str(tmp_path / "nowhere")]) == EXIT_BAD_INPUT
    assert "no such folder" in " ".join(capsys.readouterr().out.split())


def test_every_problem_is_listed_not_the_first_alone(tmp_path: Path, e2b: Path) -> None:
    lost = "model.language_model.layers.0.mlp.up_proj.weight"
    broken = copy(e2b, tmp_path / "broken", {lost: None, "model.language_model.layers.99.x": torch.zeros(2)})
    assert inspect(str(broken)).problems == [
        "model.layers.0.mlp.up_proj.weight is missing",
        "model.layers.99.x is unknown",
    ]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"model.language_model.norm.weight": None}, "model.norm.weight is missing"),
        ({"model.language_model.norm.weight": torch.zeros(7)}, r"model.norm.weight is \[7\], expected \[24\]"),
        ({"model.language_model.norm.bias": torch.zeros(7)}, "model.norm.bias is unknown"),
        (
            {"model.language_model.norm.weight": None, "model.language_model.final_norm.weight": torch.zeros(24)},
            "model.final_norm.weight should be named model.norm.weight",
        ),
    ],
)
def test_loading_a_target_refuses_what_inspection_refuses(
    tmp_path: Path, e2b: Path, tensors: dict[str, Any], message: str
) -> None:
    broken = copy(e2b, tmp_path / "broken", tensors)
    with pytest.raises(InputError, match=message):
        load_target(str(broken))
    assert not inspect(str(broken)).usable


def test_projections_that_sharing_layers_never_use_are_no_fault(tmp_path: Path, e2b: Path) -> None:
    unused = "model.language_model.layers.7.self_attn."
    spare = {f"{unused}{part}.weight": torch.zeros(8, 24) for part in ("k_proj", "v_proj")}
    loaded = load_target(str(copy(e2b, tmp_path / "spare", spare)))
    assert loaded.config.num_kv_shared_layers == 5


def test_text_only_and_sharded_folders_load_too(tmp_path: Path, e2b: Path) -> None:
    text = {
        name.replace("language_model.", ""): tensor
        for name, tensor in folders.stored(e2b).items()
        if "language_model" in name
    }
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(folders.small_text("E2B")))
    names = sorted(text)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: text[name] for name in held}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, held in shards.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    ids = torch.tensor([[5, 6, 7, 8]])
    whole: Any = load_target(str(e2b)).model
    parts: Any = load_target(str(folder)).model
    assert torch.equal(whole(ids).logits, parts(ids).logits)


def test_tokens_come_from_the_environment_only(e2b: Path) -> None:
    with pytest.raises(InputError, match="set HF_TOKEN in the environment"):
        load_target(str(e2b), token="secret")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama', expected a Gemma 4 model"),
        ({"text_config": {"hidden_size": "wide"}}, "its config.json has no hidden_size, vocab_size, num_hidden_layers"),
        ({"text_config": folders.small_text("E2B") | {"layer_types": ["odd"]}}, "transformers refuses config.json"),
    ],
)
def test_configs_that_are_no_gemma_4(tmp_path: Path, e2b: Path, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_target(str(copy(e2b, tmp_path / "other", {}, raw)))


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers"])
def test_a_target_that_leaves_its_size_open_is_not_filled_in(tmp_path: Path, key: str) -> None:
    raw = {name: value for name, value in folders.small_text("31B").items() if name != key}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert f"its config.json has no {key}" in inspect(str(tmp_path)).problems


def test_a_wrong_step_on_the_way_to_the_folder_is_named(tmp_path: Path, e2b: Path) -> None:
    found = inspect(str(e2b.parent))
    assert found.problems == ["has no config.json, but its folders e2b have: name one of them"]
    found = inspect(str(e2b / "model.safetensors"))
    assert "a file, expected the folder that holds it and its config.json" in found.problems[0]


def test_weights_of_another_model_are_one_problem(tmp_path: Path, e2b: Path) -> None:
    raw = json.loads((e2b / "config.json").read_text())
    folder = folders.write(tmp_path / "mixed", raw, {"h.0.attn.weight": torch.zeros(2)})
    assert inspect(str(folder)).problems == [
        "none of the 1 tensors (h.0.attn.weight, ...) is one that config.json describes "
        "(model.embed_tokens.weight, ...); do the two belong together?"
    ]


def test_many_problems_are_counted_and_long_ones_broken(tmp_path: Path, e2b: Path) -> None:
    stored = folders.stored(e2b)
    few = dict(sorted(stored.items())[:5])
    found = inspect(str(folders.write(tmp_path / "few", json.loads((e2b / "config.json").read_text()), few)))
    assert len(found.problems) > 100
    text = found.text()
    assert f"and {len(found.problems) - 20} more problems" in text
    raw = {"model_type": "gpt2"}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert max(map(len, inspect(str(tmp_path)).text().splitlines()[1:])) <= 118
