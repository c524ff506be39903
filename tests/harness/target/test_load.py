"""Unusable checkpoints are refused in one line with key, value and expectation; only data is ever read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drafters.errors import InputError
from harness import generate, load_drafter, load_target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"


def load(name: str, folder: Path | str) -> Any:
    if name == "target":
        return load_target(str(folder))
    return load_drafter(name, str(folder), target=reference.target(STRUCTURE))


def key(name: str) -> str:
    return "target.path" if name == "target" else f"drafters.{name}.path"


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
