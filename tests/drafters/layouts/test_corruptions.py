"""Each single corruption of a folder gives its own error, from the loader and from the inspection alike.

Every published target and every layout is corrupted in every way; no two ways give the same error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drafters.build import build_drafter
from drafters.errors import InputError
from harness.inspect import inspect
from harness.target.load import load_target
from tests.helpers import drafter_folders as folders
from tests.helpers import published_drafters as published

Tensors = dict[str, torch.Tensor]
#: One folder per layout: drafter, target it is for, config.json, a layer tensor every layout has.
LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "assistant, ordered": ("mtp", "E2B", folders.small_assistant("E2B")),
    "assistant, dense": ("mtp", "12B", folders.small_assistant("12B")),
    "z-lab": ("dflash", "31B", folders.small_zlab("31B")),
    "z-lab 2": ("dflash", "26B-A4B", folders.small_zlab("26B-A4B", second=True)),
    "DeepSpec DFlash": ("dflash", "12B", folders.small_deepspec()),
    "DeepSpec": ("dflash", "12B", folders.small_deepspec(markov=True)),
    "speculators DFlash": ("dflash", "31B", folders.small_speculators("dflash", "31B")),
    "speculators DFlash 2": ("dflash", "E2B", folders.small_speculators("dflash2", "E2B")),
    "speculators": ("dflash", "E4B", folders.small_speculators("dspark", "E4B")),
}
BLOCKS = [name for name, (kind, _, _) in LAYOUTS.items() if kind == "dflash"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensors]:
    """The sound tensors of every layout."""
    base = tmp_path_factory.mktemp("sound")
    sound = {}
    for name, (kind, _, raw) in LAYOUTS.items():
        writer = folders.write_transformers if kind == "mtp" else folders.write_block
        sound[name] = folders.stored(writer(base / name.replace(" ", "-"), raw, seed=3))
    return sound


def complaint(folder: Path, name: str) -> str:
    """The one error for this folder; loader and inspection must say the same."""
    kind, target, _ = LAYOUTS[name]
    config = folders.small_target(target)
    target_folder = folder.parent / "target"
    target_folder.mkdir(exist_ok=True)
    (target_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as raised:
        build_drafter(kind, str(folder), config, torch.device("cpu"), torch.float32)
    message = str(raised.value)
    assert message.startswith(f"drafters.{kind}.path")
    assert "\n" not in message
    found = inspect(str(folder), str(target_folder))
    assert not found.usable
    assert any(problem.split(": ")[-1] in message for problem in found.problems), (found.problems, message)
    return message


def in_layer(tensors: Tensors) -> str:
    return next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))


def missing(tensors: Tensors) -> str:
    name = in_layer(tensors)
    del tensors[name]
    return f"{name} is missing"


def extra(tensors: Tensors) -> str:
    tensors["layers.9.self_attn.q_proj.weight"] = torch.zeros(3, 5)
    return "layers.9.self_attn.q_proj.weight is unknown"


def misshapen(tensors: Tensors) -> str:
    name = in_layer(tensors)
    rows, columns = tensors[name].shape
    tensors[name] = torch.zeros(rows, columns + 1)
    return f"{name} is [{rows}, {columns + 1}], expected [{rows}, {columns}]"


def misnamed(tensors: Tensors) -> str:
    name = in_layer(tensors)
    wrong = name.replace("mlp.up_proj", "mlp.up")
    tensors[wrong] = tensors.pop(name)
    return f"{wrong} should be named {name}"


def whole_numbers(tensors: Tensors) -> str:
    name = in_layer(tensors)
    tensors[name] = tensors[name].to(torch.int8)
    return f"{name} holds I8, expected floating numbers"


TENSORS = (missing, extra, misshapen, misnamed, whole_numbers)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("corrupt", TENSORS)
def test_tensors(
    tmp_path: Path, written: dict[str, Tensors], name: str, corrupt: Callable[[Tensors], str]
) -> None:
    tensors = dict(written[name])
    expected = corrupt(tensors)
    folder = folders.write(tmp_path / "drafter", LAYOUTS[name][2], tensors)
    assert expected.replace("model.", "") in complaint(folder, name).replace("model.", "")


@pytest.fixture(scope="module", params=published.NAMES)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Tensors]:
    """A target of each size as it is published: its config.json and its tensors."""
    folder = folders.write_target(tmp_path_factory.mktemp("sound"), request.param)
    return json.loads((folder / "config.json").read_text()), folders.stored(folder)


def test_targets(tmp_path: Path, sound: tuple[dict[str, Any], Tensors]) -> None:
    raw, tensors = sound
    said = set()
    for corrupt in TENSORS:
        changed = dict(tensors)
        expected = corrupt(changed).replace("language_model.", "").removeprefix("model.")
        folder = str(folders.write(tmp_path / corrupt.__name__, raw, changed))
        with pytest.raises(InputError) as raised:
            load_target(folder)
        assert str(raised.value).startswith(f"target.path: {folder}: the weights do not fit config.json: ")
        assert expected in str(raised.value)
        assert [problem.replace("model.", "") for problem in inspect(folder).problems] == [
            expected.replace("model.", "")
        ]
        said.add(str(raised.value).removeprefix(f"target.path: {folder}"))
    assert len(said) == len(TENSORS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hidden_size": None}, "no hidden_size"),
        ({"num_hidden_layers": 3}, "refuses config.json"),
        ({"layer_types": ["sliding_attention", "other"]}, "refuses config.json"),
        ({"head_dim": 4}, "is [8], expected [4]"),
        ({"intermediate_size": 17}, "mlp"),
        ({"num_attention_heads": 1}, "q_proj.weight is"),
    ],
    ids=str,
)
def test_target_configs(
    tmp_path: Path, sound: tuple[dict[str, Any], Tensors], change: dict[str, Any], expected: str
) -> None:
    raw, tensors = sound
    text = {key: value for key, value in (raw["text_config"] | change).items() if value is not None}
    folder = str(folders.write(tmp_path / "broken", raw | {"text_config": text}, tensors))
    with pytest.raises(InputError) as raised:
        load_target(folder)
    assert expected in str(raised.value)
    assert not inspect(folder).usable


def taps_key(raw: dict[str, Any]) -> tuple[dict[str, Any], str]:
    if "dflash_config" in raw:
        return raw["dflash_config"], "target_layer_ids"
    return raw, "aux_hidden_state_layer_ids" if "speculators_model_type" in raw else "target_layer_ids"


def set_taps(raw: dict[str, Any], change: Callable[[list[int]], list[Any]]) -> None:
    where, key = taps_key(raw)
    where[key] = change(where[key])


CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a tap that the target has not": (lambda raw: set_taps(raw, lambda t: [*t[:-1], 99]), "taps layer 9"),
    "a tap too many": (lambda raw: set_taps(raw, lambda t: [*t, t[-1] + 1]), "fc.weight joins the outputs of"),
    "a tap twice": (lambda raw: set_taps(raw, lambda t: [*t[:-1], t[-2]]), "expected distinct layers in rising order"),
    "taps of another kind": (lambda raw: set_taps(raw, lambda t: ["1", *t[1:]]), "expected a list of whole numbers"),
    "no taps": (lambda raw: taps_key(raw)[0].pop(taps_key(raw)[1]), "config.json has no"),
    "no block": (lambda raw: raw.pop("block_size"), "config.json has no block_size"),
    "an empty block": (lambda raw: raw.update(block_size=0), "block_size is 0, expected a whole number of at least"),
    "a block in words": (lambda raw: raw.update(block_size="16"), "block_size is '16', expected a whole number"),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("corruption", CONFIGS)
def test_configs(tmp_path: Path, written: dict[str, Tensors], name: str, corruption: str) -> None:
    change, expected = CONFIGS[corruption]
    raw = json.loads(json.dumps(LAYOUTS[name][2]))
    change(raw)
    assert expected in complaint(folders.write(tmp_path / "drafter", raw, written[name]), name)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("assistant, dense", {"backbone_hidden_size": 8}, "backbone_hidden_size is 8, expected 60"),
        ("assistant, ordered", {"num_centroids": 7}, "num_centroids is 7, expected a divisor of vocab_size=96"),
        ("z-lab", {"hidden_act": "gelu"}, "hidden_act is 'gelu', expected 'silu'"),
        ("z-lab", {"rope_scaling": {"rope_type": "yarn"}}, "rope_type is 'yarn', expected 'default'"),
        ("z-lab", {"num_target_layers": 13}, "num_target_layers is 13, expected 12"),
        ("z-lab", {"mask_token_id": 5}, "mask_token_id is given twice, as 4 and as 5"),
        ("z-lab", {"layer_types": ["full_attention"]}, "layer_types names 1 layers, expected num_hidden_layers=5"),
        ("z-lab", {"num_key_value_heads": 3}, "is no multiple of"),
        ("DeepSpec", {"markov_head_type": "rnn"}, "markov_head_type is 'rnn', expected 'vanilla'"),
        ("DeepSpec", {"enable_moe_block": True}, "enable_moe_block is True, expected False"),
        ("DeepSpec", {"layer_types": ["sliding_attention"] * 5}, "expected 'full_attention' throughout"),
        ("speculators", {"block_size": 4}, "drafts 4 tokens, but speculators_config.proposal_methods promises 5"),
        ("speculators", {"transformer_layer_config": None}, "config.json has no transformer_layer_config"),
        ("speculators", {"aux_hidden_state_layer_ids": [0, 3, 6, 8]}, "aux_hidden_state_layer_ids holds 0"),
    ],
)
def test_entries(
    tmp_path: Path, written: dict[str, Tensors], name: str, changes: dict[str, Any], expected: str
) -> None:
    folder = folders.write(tmp_path / "drafter", LAYOUTS[name][2] | changes, written[name])
    assert expected in complaint(folder, name)


def test_draft_vocabulary_maps_must_agree(tmp_path: Path, written: dict[str, Tensors]) -> None:
    sound, name = written["speculators"], "speculators"
    raw = LAYOUTS[name][2]
    beyond = sound["d2t"].clone()
    beyond[-1] = 500
    twice = sound["d2t"].clone()
    twice[1] = twice[0] - 1
    other = sound["t2d"].roll(1)
    for change, expected in [
        ({"d2t": beyond}, "d2t leads to token 539, outside 0 to 95"),
        ({"d2t": twice}, "d2t leads two draft tokens to the same target token"),
        ({"t2d": other}, "d2t and t2d disagree"),
    ]:
        assert expected in complaint(folders.write(tmp_path / "drafter", raw, sound | change), name)


def test_token_ordering_must_be_a_permutation(tmp_path: Path, written: dict[str, Tensors]) -> None:
    name = "assistant, ordered"
    tensors = dict(written[name])
    tensors["masked_embedding.token_ordering"] = torch.zeros(folders.VOCAB, dtype=torch.long)
    folder = folders.write(tmp_path / "drafter", LAYOUTS[name][2], tensors)
    assert "token_ordering is no permutation" in complaint(folder, name)


def test_files_that_are_cut_or_absent(tmp_path: Path, written: dict[str, Tensors]) -> None:
    folder = folders.write(tmp_path / "drafter", LAYOUTS["z-lab"][2], written["z-lab"])
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "is no readable safetensors file" in complaint(folder, "z-lab")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"fc.weight": "part-2.safetensors"}}')
    assert "lacks part-2.safetensors" in complaint(folder, "z-lab")
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "is no index of weights" in complaint(folder, "z-lab")


def test_unknown_layouts_are_answered_with_the_known_ones(tmp_path: Path, written: dict[str, Tensors]) -> None:
    raw = LAYOUTS["z-lab"][2] | {"architectures": ["EagleDraftModel"]}
    folder = folders.write(tmp_path / "drafter", raw, written["z-lab"])
    with pytest.raises(InputError) as raised:
        build_drafter("dflash", str(folder), folders.small_target("31B"), torch.device("cpu"), torch.float32)
    for known in ("DFlashDraftModel", "DFlash2DraftModel", "Gemma4DSparkModel", "speculators_model_type"):
        assert known in str(raised.value)
        assert known in inspect(str(folder)).problems[0]
    assert "gemma4_assistant" in inspect(str(folder)).problems[0]


def test_a_drafter_of_the_other_kind_is_named(tmp_path: Path, written: dict[str, Tensors]) -> None:
    folder = folders.write(tmp_path / "drafter", LAYOUTS["z-lab"][2], written["z-lab"])
    with pytest.raises(InputError, match="a z-lab DFlash for drafter dflash; expected Google MTP assistant"):
        build_drafter("mtp", str(folder), folders.small_target("31B"), torch.device("cpu"), torch.float32)
