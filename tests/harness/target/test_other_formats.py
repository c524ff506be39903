"""Folders and files as users have them: inspection and run say in the same line what is no readable checkpoint."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import DatasetConfig, RunConfig, read_config
from harness.inspect import inspect, main
from harness.target.files import check_loadable, empty_target, text_config_of
from harness.target.load import load_target
from harness.target.side_files import check_side_files
from harness.tasks.chat import Chat
from harness.tasks.prompts import Prompt
from harness.vocabulary import EXIT_BAD_INPUT
from tests.helpers import checkpoint_folders as checkpoints
from tests.helpers import drafter_folders as folders
from tests.helpers import published_drafters as published

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 61400000000\n"
RAW = folders.small_target("31B")


def run_config(path: Path) -> RunConfig:
    return read_config({"target": {"path": str(path)}, "dataset": {"path": "x"}, "drafter": []})


def complaint(path: Path) -> str:
    """The one line that checking a run, loading and inspecting give for the target `path`."""
    said = []
    for attempt in (lambda: preflight(run_config(path)), lambda: load_target(str(path))):
        with pytest.raises(InputError) as raised:
            attempt()
        said.append(str(raised.value).split(": ", 1)[1])
    assert said[0] == said[1]
    assert "\n" not in said[0]
    found = inspect(str(path))
    assert not found.usable
    inspected = found.problems[-1].removeprefix("PATH is ").removeprefix(f"{str(path)!r}: ")
    assert inspected in said[0]
    return said[0]


def checkpoint(folder: Path, raw: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(RAW if raw is None else raw))
    save_file({"norm": torch.zeros(64)}, folder / "model.safetensors")
    return folder


# -- files that are not what their names say -------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "model.safetensors.index.json"])
def test_git_lfs_pointers_are_named(tmp_path: Path, file: str) -> None:
    folder = checkpoint(tmp_path / "clone")
    (folder / file).write_text(POINTER)
    said = complaint(folder)
    assert f"{folder / file} is a Git LFS pointer, not the file itself: run 'git lfs install'" in said
    assert main([str(folder)]) == EXIT_BAD_INPUT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: b"", "cut off, 0 bytes are here; download it again"),
        (lambda whole: whole[:5], "cut off, 5 bytes are here; download it again"),
        (lambda whole: whole[:20], "cut off, 20 bytes are here and its header alone has"),
        (lambda whole: whole[:-1], "cut off, {less} of {size} bytes are here; download it again"),
        (lambda whole: b"<!DOCTYPE html><html>", "which is no length of a header"),
        (lambda whole: struct.pack("<Q", 2) + b"[]", "its header is no list of tensors"),
        (lambda whole: struct.pack("<Q", 9) + b'{"a": {}}', "its header is no list of tensors"),
    ],
    ids=["empty", "under eight bytes", "within the header", "a byte short", "a page", "an array", "no offsets"],
)
def test_weight_files_that_are_not_whole(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    folder = checkpoint(tmp_path / "cut")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    expected = message.format(less=len(whole) - 1, size=len(whole))
    assert f"{file} is no readable safetensors file: " in complaint(folder)
    assert expected in complaint(folder)


def test_an_unfinished_download_is_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "local")
    (folder / "model.safetensors").unlink()
    part = folder / ".cache" / "huggingface" / "download" / "model.safetensors.4d7a.incomplete"
    part.parent.mkdir(parents=True)
    part.touch()
    assert f"({part.name} is an unfinished download: run it again)" in complaint(folder)


def test_a_folder_named_with_a_slash_must_hold_its_weights_too(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    assert not inspect(f"{folder}/").usable
    with pytest.raises(InputError, match=r"lacks model\.safetensors"):
        preflight(read_config({"target": {"path": f"{folder}/"}, "dataset": {"path": "x"}, "drafter": []}))


def test_gguf_is_named_as_file_and_as_folder(tmp_path: Path) -> None:
    file = tmp_path / "gemma-4-q4.gguf"
    file.write_bytes(b"GGUF" + bytes(60))
    assert "holds gemma-4-q4.gguf, llama.cpp's format, which engine=llama_cpp reads" in complaint(tmp_path)
    (tmp_path / "weights").write_bytes(file.read_bytes())
    for path in (file, tmp_path / "weights"):
        with pytest.raises(InputError, match=r"a GGUF file, llama.cpp's .* as target.gguf .*; expected a folder with"):
            load_target(str(path))


@pytest.mark.parametrize("with_config", [False, True])
def test_adapters_are_named_with_their_base(tmp_path: Path, with_config: bool) -> None:
    if with_config:
        (tmp_path / "config.json").write_text(json.dumps(RAW))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "google/gemma-4-31B-it"}))
    save_file({"base_model.model.lora_A.weight": torch.zeros(4)}, tmp_path / "adapter_model.safetensors")
    assert "is a LoRA adapter of google/gemma-4-31B-it, not a model: merge it into its base" in complaint(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    assert "is a LoRA adapter of an unnamed model" in complaint(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "\x00", '"text"', "3"])
def test_a_config_that_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert "config.json" in complaint(tmp_path)


# -- quantization -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "NVIDIA Model Optimizer"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "(mlx): made by MLX"),
        (
            {"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 64, "bits": 4}},
            "(mlx): made by MLX",
        ),
        ({"quantization_config": {"quant_method": "nextbit"}}, "quant_method is 'nextbit'; expected the checkpoint"),
        ({"quantization_config": {"bits": 4}}, "quant_method is 'unnamed'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "(gptq) and cannot be loaded here: "),
        ({"quantization_config": [1]}, "quantization_config is [1], expected an object"),
    ],
    ids=str,
)
def test_quantization_that_cannot_be_loaded(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    assert message in complaint(checkpoint(tmp_path / "quantized", RAW | entries))


def test_the_file_of_older_model_optimizer_exports_is_seen(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "quantized")
    (folder / "hf_quant_config.json").write_text("{}")
    assert any("NVIDIA Model Optimizer" in problem for problem in inspect(str(folder)).problems)
    with pytest.raises(InputError, match="NVIDIA Model Optimizer"):
        load_target(str(folder))


def test_fp8_that_is_dequantized_is_told() -> None:
    raw = RAW | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    notes = check_loadable(raw, "here", device=torch.device("cpu"))
    if not torch.cuda.is_available():
        assert notes[0].startswith("quantized: fp8, dequantized when it is loaded, as this cpu has no kernels for it")
    assert check_loadable(RAW, "here") == []


# -- files beside the weights -----------------------------------------------------------------------------------------

BESIDE = ("generation_config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja", "tokenizer.model")


@pytest.mark.parametrize("name", BESIDE)
def test_files_beside_the_weights_may_be_pointers_too(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path / "clone")
    (folder / name).write_text(POINTER)
    assert f"{folder / name} is a Git LFS pointer" in complaint(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("generation_config.json", "{", "generation_config.json is not valid JSON"),
        ("generation_config.json", "[]", "generation_config.json holds a list, expected a JSON object"),
        ("generation_config.json", '{"eos_token_id": "<end>"}', "is '<end>', expected tokens from 0 to 95"),
        ("generation_config.json", '{"eos_token_id": [1, 96]}', "is [1, 96], expected tokens from 0 to 95"),
        ("generation_config.json", '{"eos_token_id": [1, -1]}', "is [1, -1], expected tokens from 0 to 95"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json holds a list"),
        ("tokenizer.json", '{"model": {"vocab": {"a": 1', "tokenizer.json is cut off"),
    ],
)
def test_files_beside_the_weights_are_looked_at(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = checkpoint(tmp_path / "folder")
    (folder / name).write_text(text)
    assert message in complaint(folder)


def test_a_target_that_no_token_ends_is_told(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "endless")
    endless = RAW | {"text_config": RAW["text_config"] | {"eos_token_id": None}}
    assert check_side_files(folder, RAW, "here") == []
    assert check_side_files(folder, endless, "here")[0].startswith("neither generation_config.json nor config.json")


def test_a_tokenizer_of_another_model_is_refused() -> None:
    prompt = Prompt("p1", "sums", turns=("what is 1 + 1?",))
    config = DatasetConfig(path="x")
    Chat(checkpoints.tokenizer(), config, checkpoints.VOCAB).render(prompt, [])
    with pytest.raises(InputError, match=r"prompt p1: the tokenizer .* gives token \d+, the target has 5"):
        Chat(checkpoints.tokenizer(), config, 5).render(prompt, [])


# -- configs of targets ------------------------------------------------------------------------------------------------


def test_another_model_over_a_gemmas_config_is_no_target(tmp_path: Path) -> None:
    for name, said in (("Gemma4Eagle3Model", "an EAGLE-3 drafter"), ("Gemma4Classifier", "names 'Gemma4Class")):
        folder = checkpoint(tmp_path / name, RAW | {"architectures": [name]})
        for attempt in (lambda: preflight(run_config(folder)), lambda: load_target(str(folder))):  # noqa: B023
            with pytest.raises(InputError, match=rf"architectures names '{name}'.*expected a target"):
                attempt()
        found = inspect(str(folder))
        assert any(said in problem for problem in found.problems)
        assert not found.facts


@pytest.mark.parametrize("name", published.NAMES)
def test_published_targets_are_read_without_a_note(name: str) -> None:
    raw = published.target(name)
    harmless = {"expert_intermediate_size": 704, "use_bidirectional_attention": "vision", "torch_dtype": "bfloat16"}
    assert check_loadable(raw | {"text_config": raw["text_config"] | harmless}, "here") == []


def test_entries_that_transformers_passes_over_are_told(tmp_path: Path) -> None:
    raw = RAW | {"text_config": RAW["text_config"] | {"attention_sinks": True}}
    note = "transformers does not read attention_sinks in config.json"
    assert check_loadable(raw, "here") == [note]
    assert dict(inspect(str(checkpoint(tmp_path / "newer", raw))).facts)["note"] == note


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_activation": "odd"},
        {"layer_types": ["odd"] * 12},
        {"rope_parameters": {"full_attention": {"rope_type": "odd", "rope_theta": 1e6}}},
        {"rope_parameters": "default"},
        {"sliding_window": "wide"},
    ],
    ids=str,
)
def test_words_that_transformers_does_not_know_are_one_line(change: dict[str, Any]) -> None:
    raw = RAW | {"text_config": RAW["text_config"] | change}
    with pytest.raises(InputError, match=r"^here: transformers (refuses|cannot build)") as raised:
        empty_target(text_config_of(raw, "here"), raw["model_type"], "here")
    assert "\n" not in str(raised.value)


def test_a_text_config_that_is_no_object(tmp_path: Path) -> None:
    assert "text_config is 'text', expected an object" in complaint(
        checkpoint(tmp_path / "text", RAW | {"text_config": "text"})
    )
