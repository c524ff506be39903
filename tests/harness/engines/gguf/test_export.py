"""Every tensor of a checkpoint arrives in the file under llama.cpp's name, and what llama.cpp cannot run is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from drafters.errors import InputError
from harness.engines.gguf.describe import facts_of
from harness.engines.gguf.fit import (
    check_drafter,
    check_same,
    problems_of,
    read_drafter,
    read_target,
    sizes_of,
    spec_type,
)
from harness.engines.gguf.gemma import STILL
from harness.engines.gguf.names import ASSISTANT, BLOCK, BLOCK_LAYER, GEMMA_LAYER, TARGET, TARGET_LAYER, gguf_name
from harness.engines.gguf.read import Header, read_header
from harness.engines.gguf.write import export, package
from harness.export import main
from harness.inspect import inspect
from harness.vocabulary import ASSETS, EXIT_BAD_INPUT, EXIT_OK
from tests.helpers import drafter_folders as folders
from tests.helpers import gguf_models as models

gguf = pytest.importorskip("gguf")
DENSE, E2B = ASSETS / "target", ASSETS / "e2b" / "target"


def numbers(path: Path, header: Header) -> dict[str, torch.Tensor]:
    """Every tensor of the file, by the `gguf` package's own reader."""
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    found = {}
    for name, about in header.tensors.items():
        data = read[name].data
        if about.type not in ("F32", "F16", "I64"):
            data = gguf.dequantize(data, read[name].tensor_type)
        found[name] = torch.tensor(data.copy()).reshape(about.shape)
    return found


def written(folder: Path, checkpoint: Path, target: Path | None = None, kind: str = "f32") -> tuple[Header, Any]:
    path = export(checkpoint, folder / "out.gguf", kind, target).path
    header = read_header(path, "PATH")
    assert problems_of(header) == [] and facts_of(header)
    return header, numbers(path, header)


def check_equal(found: dict[str, torch.Tensor], stored: dict[str, torch.Tensor], names: Any, made: set[str]) -> None:
    """Every stored tensor is in the file, bit by bit, and nothing else is but `made`."""
    wanted = {names(name): tensor for name, tensor in stored.items()}
    assert found.keys() == wanted.keys() | made
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("name", models.STRUCTURES)
def test_every_tensor_of_a_target_is_read_back(tmp_path: Path, name: str) -> None:
    folder = models.write_target(tmp_path / "target", models.target(name))
    header, found = written(tmp_path, folder)
    stored = {n: t for n, t in load_file(folder / "model.safetensors").items() if n != "lm_head.weight"}
    check_equal(found, stored, lambda n: gguf_name(n, TARGET, TARGET_LAYER), {"rope_freqs.weight"})
    check_same(header, json.loads((folder / "config.json").read_text()), "target.gguf")
    assert found["rope_freqs.weight"].tolist() == [1.0, 1.0] + [pytest.approx(STILL)] * 6


@pytest.mark.parametrize("name", models.STRUCTURES)
@pytest.mark.parametrize("ordered", [False, True])
def test_every_tensor_of_an_assistant_is_read_back(tmp_path: Path, name: str, ordered: bool) -> None:
    model = models.target(name)
    target = models.write_target(tmp_path / "target", model)
    folder = models.write_assistant(tmp_path / "mtp", model, ordered=ordered)
    header, found = written(tmp_path, folder, target)
    left_out = ("lm_head.", "masked_embedding.")
    stored = {n: t for n, t in load_file(folder / "model.safetensors").items() if not n.startswith(left_out)}
    check_equal(found, stored, lambda n: gguf_name(n, ASSISTANT, GEMMA_LAYER), {"rope_freqs.weight"})
    aim = export(target, tmp_path / "target.gguf").path
    check_drafter(header, sizes_of(read_target(aim, "target.gguf")), "key")


def test_every_tensor_of_a_dflash_drafter_is_read_back(tmp_path: Path) -> None:
    model = models.target("k_eq_v")
    target = models.write_target(tmp_path / "target", model)
    folder = models.write_dflash(tmp_path / "dflash", model)
    header, found = written(tmp_path, folder, target)
    stored = load_file(folder / "model.safetensors")
    check_equal(found, stored, lambda n: gguf_name(n, BLOCK, BLOCK_LAYER), set())
    assert header.get("target_layers") == [1, 2, 3] and header.values["tokenizer.ggml.mask_token_id"] == 4
    assert header.get("attention.sliding_window_pattern") == [True, True, False]


@pytest.fixture
def e4b(tmp_path: Path) -> Path:
    """A target that the reduced published drafters fit, with a vocabulary of their size."""
    folder = folders.write_target(tmp_path / "e4b", "E4B")
    tokenizer = json.loads((DENSE / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {t: i for t, i in tokenizer["model"]["vocab"].items() if i < folders.VOCAB}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": []}))
    return folder


def block(folder: Path, raw: dict[str, Any], **options: Any) -> Path:
    return folders.write_block(folder / "block", raw, **options)


def test_a_draft_vocabulary_names_the_targets_tokens(tmp_path: Path, e4b: Path) -> None:
    folder = block(tmp_path, folders.small_speculators("dflash", "E4B"))
    header, found = written(tmp_path, folder, e4b)
    member = load_file(folder / "model.safetensors")["t2d"].nonzero().flatten()
    assert torch.equal(found["d2t"].long(), member)
    assert found["output.weight"].shape[0] == folders.DRAFT_VOCAB
    assert spec_type(header) == "draft-dflash"


def test_a_markov_head_makes_a_dspark_drafter(tmp_path: Path, e4b: Path) -> None:
    header, found = written(tmp_path, block(tmp_path, folders.small_speculators("dspark", "E4B")), e4b)
    assert spec_type(header) == "draft-dspark" and found["markov_w1.weight"].shape == (folders.VOCAB, 6)
    assert read_drafter(header.path, "key", "dflash")


def test_an_own_embedding_without_a_head_borrows_the_targets_head(tmp_path: Path, e4b: Path) -> None:
    raw = folders.small_speculators("dspark", "E4B", draft_vocab_size=folders.VOCAB)
    leave_out = ("lm_head.weight", "d2t", "t2d")
    _, found = written(tmp_path, block(tmp_path, raw, leave_out=leave_out), e4b)
    names = load_file(e4b / "model.safetensors")
    head = next(t for n, t in names.items() if n.endswith("embed_tokens.weight"))
    assert torch.equal(found["output.weight"], head)


def test_conventions_that_llama_cpp_has_no_word_for_are_noted(tmp_path: Path, e4b: Path) -> None:
    notes = export(block(tmp_path, folders.small_zlab("E4B")), tmp_path / "a.gguf", "f32", e4b).notes
    assert any("llama.cpp knows one kind for all layers" in note for note in notes)
    ordered = export(ASSETS / "e2b" / "mtp", tmp_path / "b.gguf", "f32", E2B).notes
    assert len(ordered) == 1 and ordered[0].startswith("the ordered head (64 centroids) is left out")


@pytest.mark.parametrize(("kind", "bits"), [("f16", 10), ("bf16", 7)])
def test_half_types_round_matrices_and_leave_vectors(tmp_path: Path, kind: str, bits: int) -> None:
    header, found = written(tmp_path, ASSETS / "mtp", DENSE, kind)
    stored = load_file(ASSETS / "mtp" / "model.safetensors")
    for name, tensor in stored.items():
        ours = found[str(gguf_name(name, ASSISTANT, GEMMA_LAYER))].float()
        limit = 0.0 if tensor.dim() < 2 else 2.0**-bits
        assert torch.all((ours - tensor).abs() <= limit * tensor.abs() + 1e-7), name
    assert {t.type for t in header.tensors.values()} == {"F32", kind.upper()}


def test_q8_0_packs_rows_of_32_and_falls_back_to_f16(tmp_path: Path) -> None:
    header, found = written(tmp_path, ASSETS / "mtp", DENSE, "q8_0")
    stored = load_file(ASSETS / "mtp" / "model.safetensors")["pre_projection.weight"]
    ours = found["nextn.pre_projection.weight"]
    blocks = stored.reshape(-1, 32).abs().amax(1, keepdim=True) / 127
    half = 0.5 + 127 / 2**11  # half a step, and the rounding of the step itself to half precision
    assert torch.all((ours - stored).reshape(-1, 32).abs() <= half * blocks + 1e-6)
    assert header.values["general.file_type"] == 7
    folder = models.write_dflash(tmp_path / "narrow", models.target("dense"))  # an MLP of 40
    target = models.write_target(tmp_path / "target", models.target("dense"))
    header, _ = written(tmp_path, folder, target, "q8_0")
    assert header.tensors["blk.0.ffn_down.weight"].type == "F16"
    assert header.tensors["blk.0.ffn_up.weight"].type == "Q8_0"


# -- refusals --------------------------------------------------------------------------------------------------------


def changed(folder: Path, source: Path, **entries: Any) -> Path:
    shutil.copytree(source, folder)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | entries))
    return folder


@pytest.mark.parametrize(
    ("source", "entries", "said"),
    [
        (DENSE, {"hidden_activation": "silu"}, "hidden_activation is 'silu', expected 'gelu_pytorch_tanh'"),
        (DENSE, {"model_type": "llama", "architectures": None}, "model_type is 'llama'"),
        (DENSE, {"num_hidden_layers": 8}, "transformers refuses config.json"),
        (ASSETS / "dflash", {"hidden_size": 128}, "hidden_size is 128, expected 256 as in the target"),
        (ASSETS / "dflash", {"attention_bias": True}, "do not fit config.json"),
        (ASSETS / "mtp", {"backbone_hidden_size": 128}, "backbone_hidden_size is 128, expected 256"),
    ],
)
def test_a_folder_that_cannot_be_exported_leaves_nothing(
    tmp_path: Path, source: Path, entries: dict[str, Any], said: str
) -> None:
    folder = changed(tmp_path / "changed", source, **entries)
    with pytest.raises(InputError, match="CHECKPOINT") as raised:
        export(folder, tmp_path / "out" / "a.gguf", "f32", DENSE if source != DENSE else None)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out/*"))


def test_the_last_layer_cannot_be_tapped(tmp_path: Path) -> None:
    raw = json.loads((ASSETS / "dflash" / "config.json").read_text())
    own = raw["dflash_config"] | {"target_layer_ids": [1, 3, 5, 8]}
    folder = changed(tmp_path / "dflash", ASSETS / "dflash", dflash_config=own)
    with pytest.raises(InputError, match="taps layer 8, the target's last"):
        export(folder, tmp_path / "a.gguf", "f32", DENSE)


def test_a_drafter_needs_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer.json, which a GGUF holds; name its target's folder"):
        export(ASSETS / "mtp", tmp_path / "a.gguf")


def test_an_unknown_type_and_a_missing_package_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--type is 'q4_0', expected f32, f16, bf16, q8_0"):
        export(DENSE, tmp_path / "a.gguf", "q4_0")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(InputError, match=r"the package gguf is not installed, .*drafthouse\[llama\]"):
        package()


# -- commands --------------------------------------------------------------------------------------------------------


def test_the_command_writes_what_inspection_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, source in (("target", E2B), ("mtp", ASSETS / "e2b" / "mtp"), ("dflash", ASSETS / "e2b" / "dflash")):
        asked = ["gguf", str(source), "--out", str(tmp_path / f"{name}.gguf"), "--target", str(E2B), "--type", "bf16"]
        assert main(asked) == EXIT_OK
    assert "note: the ordered head" in capsys.readouterr().out
    target = str(tmp_path / "target.gguf")
    for name, aim in ((name, aim) for name in ("mtp", "dflash") for aim in (target, str(E2B))):
        found = inspect(str(tmp_path / f"{name}.gguf"), aim)
        assert found.usable and dict(found.facts)["fits"] == aim
    facts = dict(inspect(target, str(E2B)).facts)
    assert facts["is of"] == str(E2B) and facts["shared keys"].startswith("the last 2 layers")
    assert facts["tokenizer"] == "gpt2, bos 2, eos 1, eot 6, padding 0, unknown 3, mask 4, with a chat template"
    assert not inspect(target, str(DENSE)).usable and not inspect(str(tmp_path / "mtp.gguf"), str(DENSE)).usable
    assert main(["gguf", str(tmp_path / "none"), "--out", target]) == EXIT_BAD_INPUT


def test_parameters_are_counted_as_the_checkpoint_has_them(tmp_path: Path) -> None:
    header, _ = written(tmp_path, DENSE)
    stored = sum(t.numel() for t in load_file(DENSE / "model.safetensors").values())
    assert sum(math.prod(t.shape) for n, t in header.tensors.items() if n != "rope_freqs.weight") == stored
