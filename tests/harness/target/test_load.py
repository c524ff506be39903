"""Unusable checkpoints are refused in one line with key, value and expectation; only data is ever read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import generate, load_drafter, load_target
from harness.errors import InputError
from tests.helpers import published_folders as published
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pair in folders."""
    base, model = tmp_path_factory.mktemp("saved"), reference.target(STRUCTURE).model
    model.save_pretrained(base / "target")
    tiny.assistant_model(model).save_pretrained(base / "mtp")
    published.write_dflash(base / "dflash", tiny.dflash_model(model))
    return {name: base / name for name in ("target", "mtp", "dflash")}


def load(name: str, folder: Path | str) -> Any:
    if name == "target":
        return load_target(str(folder))
    return load_drafter(name, str(folder), target=reference.target(STRUCTURE))


def key(name: str) -> str:
    return "target.path" if name == "target" else f"drafters.{name}.path"


@pytest.fixture
def copied(saved: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a folder, its config and tensors changed at will; with `tensors=None` it has no weights at all."""

    def copy(
        name: str,
        config: Callable[[dict[str, Any]], Any] = lambda raw: None,
        tensors: Callable[[dict[str, Any]], Any] | None = lambda found: None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        raw = json.loads((saved[name] / "config.json").read_text())
        config(raw)
        (folder / "config.json").write_text(json.dumps(raw))
        if tensors is not None:
            found = load_file(saved[name] / "model.safetensors")
            tensors(found)
            save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copy


EVERY = ("target", "mtp", "dflash")


def test_a_pair_in_folders_answers_as_the_built_one_does(saved: dict[str, Path]) -> None:
    target = load_target(str(saved["target"]))
    assert target.dtype == torch.float32
    for name in ("mtp", "dflash"):
        drafter = load_drafter(name, saved[name], target=target)
        found = generate(target, drafter, tiny.prompt(7), num_draft_tokens=4, max_new_tokens=16)
        built = generate(
            reference.target(STRUCTURE),
            reference.drafter(name, STRUCTURE),
            tiny.prompt(7),
            num_draft_tokens=4,
            max_new_tokens=16,
        )
        assert found.token_ids == built.token_ids == reference.answer(STRUCTURE, 7)[:16]
        assert [r.draft_token_ids for r in found.rounds] == [r.draft_token_ids for r in built.rounds]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", torch.float16])
def test_weights_come_in_the_dtype_asked_for(saved: dict[str, Path], dtype: Any) -> None:
    target = load_target(str(saved["target"]), dtype=dtype)
    expected = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    assert target.dtype == expected
    drafter: Any = load_drafter("dflash", saved["dflash"], target=target)
    assert drafter.model.fc.weight.dtype == expected


def test_weights_may_be_split_over_files(saved: dict[str, Path], tmp_path: Path) -> None:
    target = reference.target(STRUCTURE)
    target.model.save_pretrained(tmp_path / "split", max_shard_size="20KB")
    assert len(list((tmp_path / "split").glob("*.safetensors"))) > 2
    found = generate(load_target(str(tmp_path / "split")), None, tiny.prompt(7), max_new_tokens=8)
    assert found.token_ids == reference.answer(STRUCTURE, 7)[:8]
    gone = sorted((tmp_path / "split").glob("*.safetensors"))[0]
    gone.unlink()
    with pytest.raises(InputError, match=rf"target\.path: .*{gone.name}"):
        load_target(str(tmp_path / "split"))


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_folder(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", "./nowhere", "nowhere"):
        with pytest.raises(InputError, match=rf"^{key(name)} is '.*nowhere': no such folder, and no hub id"):
            load(name, path)


@pytest.mark.parametrize("name", EVERY)
def test_a_hub_id_that_cannot_be_fetched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*args: Any, **options: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=rf"^{key(name)} is 'owner/name'.*no route to host.*local checkpoint folder"):
        load(name, "owner/name")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("text", "message"), [(None, "has no config.json"), ("{", "not valid JSON"), ("[1]", "expected a JSON object")]
)
def test_a_folder_without_a_config(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=rf"^{key(name)}: .*{message}"):
        load(name, tmp_path)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", EVERY)
def test_pickled_weights_are_refused_and_never_opened(name: str, copied: Callable[..., Path], tmp_path: Path) -> None:
    folder, mark = copied(name, tensors=None), tmp_path / "opened"
    for file in ("pytorch_model.bin", "model.pt", "model.bin"):
        (folder / file).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InputError, match=rf"^{key(name)}: .* lacks model\.safetensors; .*safetensors files only"):
        load(name, folder)
    assert not mark.exists()


@pytest.mark.parametrize("name", EVERY)
def test_code_that_comes_with_a_checkpoint_is_never_run(name: str, copied: Callable[..., Path], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    classes = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoModelForCausalLM": "own.Model"}
    folder = copied(name, lambda raw: raw.update(auto_map=classes))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    load(name, folder)
    assert not mark.exists()


# -- weights -----------------------------------------------------------------------------------------------------------

ONE = {"target": "model.norm.weight", "mtp": "post_projection.weight", "dflash": "hidden_norm.weight"}


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_tensor_is_named(name: str, copied: Callable[..., Path]) -> None:
    folder = copied(name, tensors=lambda found: found.pop(ONE[name]))
    with pytest.raises(InputError, match=rf"^{key(name)}: .*do not fit config\.json: {ONE[name]} is missing"):
        load(name, folder)


@pytest.mark.parametrize("name", EVERY)
def test_an_unknown_tensor_is_named(name: str, copied: Callable[..., Path]) -> None:
    folder = copied(name, tensors=lambda found: found.update({"layers.99.extra": torch.zeros(3)}))
    with pytest.raises(InputError, match=rf"^{key(name)}: .*do not fit config\.json: layers\.99\.extra is unknown"):
        load(name, folder)


@pytest.mark.parametrize("name", EVERY)
def test_a_misshapen_tensor_is_named_with_both_shapes(name: str, copied: Callable[..., Path]) -> None:
    folder = copied(name, tensors=lambda found: found.update({ONE[name]: torch.zeros(5)}))
    with pytest.raises(InputError, match=rf"^{key(name)}: .*{ONE[name]} is \[5\], expected \["):
        load(name, folder)


@pytest.mark.parametrize("name", EVERY)
def test_a_file_that_was_cut_off(name: str, copied: Callable[..., Path]) -> None:
    folder = copied(name)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=rf"^{key(name)}: .*model\.safetensors"):
        load(name, folder)


# -- pairs that do not fit, found from the configs alone -------------------------------------------------------------

WRONG_MTP: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "hidden size": (lambda raw: raw.update(backbone_hidden_size=48), r"backbone_hidden_size is 48, expected 32"),
    "vocabulary": (lambda raw: raw["text_config"].update(vocab_size=48), r"vocab_size is 48, expected 24"),
    "window": (lambda raw: raw["text_config"].update(sliding_window=8), r"sliding_window is 8, expected 16"),
    "head width": (
        lambda raw: raw["text_config"].update(head_dim=16),
        r"sliding_attention \(head_dim, key/value heads\) is \(16, 2\), expected \(8, 2\)",
    ),
    "key/value heads": (
        lambda raw: raw["text_config"].update(num_key_value_heads=4),
        r"sliding_attention \(head_dim, key/value heads\) is \(8, 4\), expected \(8, 2\)",
    ),
    "another model": (lambda raw: raw.update(model_type="gemma4_text"), r"model_type is 'gemma4_text'.*expected"),
}
WRONG_DFLASH: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "hidden size": (lambda raw: raw.update(hidden_size=48), r"hidden_size is 48, expected 32"),
    "vocabulary": (lambda raw: raw.update(vocab_size=48), r"vocab_size is 48, expected 24"),
    "number of layers": (lambda raw: raw.update(num_target_layers=8), r"num_target_layers is 8, expected 6"),
    "taps": (lambda raw: raw["dflash_config"].update(target_layer_ids=[1, 6]), r"layer 6, expected 0 to 5"),
    "mask token": (lambda raw: raw["dflash_config"].update(mask_token_id=24), r"mask_token_id is 24, expected 0 to 23"),
    "another model": (lambda raw: raw.update(architectures=["Qwen3ForCausalLM"]), r"'Qwen3ForCausalLM'.*expected"),
}


@pytest.mark.parametrize("case", WRONG_MTP)
def test_an_assistant_that_does_not_fit(case: str, copied: Callable[..., Path]) -> None:
    """The folder has no weights: the error is about the fit, so nothing was read before."""
    change, message = WRONG_MTP[case]
    with pytest.raises(InputError, match=rf"^drafters\.mtp\.path: .*{message}"):
        load("mtp", copied("mtp", change, tensors=None))


@pytest.mark.parametrize("case", WRONG_DFLASH)
def test_a_block_drafter_that_does_not_fit(case: str, copied: Callable[..., Path]) -> None:
    change, message = WRONG_DFLASH[case]
    with pytest.raises(InputError, match=rf"^drafters\.dflash\.path: .*{message}"):
        load("dflash", copied("dflash", change, tensors=None))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mtp", r"drafters\.mtp\.path: .*backbone_hidden_size is 48"),
        ("dflash", r"drafters\.dflash\.path: .*hidden_size is 48"),
    ],
)
def test_built_models_must_fit_too(name: str, message: str) -> None:
    other = tiny.target_model(STRUCTURE, hidden_size=48)
    model = tiny.assistant_model(other) if name == "mtp" else tiny.dflash_model(other)
    with pytest.raises(InputError, match=message):
        load_drafter(name, model, target=reference.target(STRUCTURE))


# -- names and options -------------------------------------------------------------------------------------------------


def test_an_unknown_drafter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"drafter=eagle: expected one of mtp, dflash, lookup, oracle, random"):
        load_drafter("eagle", None, target=reference.target(STRUCTURE))


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_a_trained_drafter_needs_a_path(name: str) -> None:
    with pytest.raises(InputError, match=rf"drafters\.{name}\.path is not set, expected a checkpoint folder"):
        load_drafter(name, None, target=reference.target(STRUCTURE))


@pytest.mark.parametrize("name", reference.DRAFTERS)
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises(InputError, match=rf"drafters\.{name}\.depth is no option of this drafter"):
        reference.drafter(name, STRUCTURE, depth=3)


def test_a_target_that_is_no_gemma_4(copied: Callable[..., Path]) -> None:
    folder = copied("target", lambda raw: raw.update(model_type="llama"))
    with pytest.raises(InputError, match=r"target\.path: model_type is 'llama', expected a Gemma 4 model"):
        load("target", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, r"target\.dtype is 'int8', expected one of float32, bfloat16"),
        ({"device": "gpu"}, r"target\.device is 'gpu', expected cpu, cuda"),
        ({"execution": "fast"}, r"execution is 'fast', expected one of auto, eager"),
    ],
    ids=str,
)
def test_settings_that_are_none(saved: dict[str, Path], options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_target(str(saved["target"]), **options)


def test_cuda_where_there_is_none(saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"target\.device is 'cuda', but this machine has no CUDA device"):
        load_target(str(saved["target"]), device="cuda")
    assert load_target(str(saved["target"]), device="auto").device.type == "cpu"
