"""The role of a GGUF file, and whether it fits: a drafter its target, a target the checkpoint that it stands for.

Everything is decided from headers, in the words in which a checkpoint's misfit is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from drafters.checkpoints.fit import Fit, check_equal
from drafters.errors import InputError
from drafters.geometry import kv_geometry, text_config
from harness.engines.gguf.blocks import DFLASH
from harness.engines.gguf.gemma import FULL, GEMMA4, GEMMA4_ASSISTANT, SLIDING
from harness.engines.gguf.read import Header, Long, read_header

#: architecture -> the drafter that runs it; None for a target.
ROLES: dict[str, str | None] = {GEMMA4: None, GEMMA4_ASSISTANT: "mtp", DFLASH: "dflash"}
WORDS = {GEMMA4: "a target", GEMMA4_ASSISTANT: "an MTP assistant", DFLASH: "a DFlash, DFlash 2 or DSpark drafter"}
MARKOV = "markov_w1.weight"


def read_target(path: Path, key: str) -> Header:
    """The header of a target. Raises InputError for another file."""
    return _read_as(path, key, (GEMMA4,))


def read_drafter(path: Path, key: str, kind: str) -> Header:
    """The header of a drafter of `kind`, mtp or dflash. Raises InputError for another file."""
    return _read_as(path, key, tuple(name for name, role in ROLES.items() if role == kind))


def _read_as(path: Path, key: str, wanted: tuple[str, ...]) -> Header:
    header = read_header(path, key)
    if header.architecture not in wanted:
        known = WORDS.get(header.architecture)
        said = f"architecture is {header.architecture!r}" + (f", {known}" if known else "")
        raise InputError(f"{key}: {path}: {said}; expected {' or '.join(f'{name} ({WORDS[name]})' for name in wanted)}")
    return header


def spec_type(drafter: Header) -> str:
    """llama.cpp's name of the way in which it drafts with the file, as `--spec-type` takes it."""
    if drafter.architecture == GEMMA4_ASSISTANT:
        return "draft-mtp"
    from_anchor = MARKOV in drafter.tensors or bool(drafter.get("sample_from_anchor", False))
    return "draft-dspark" if from_anchor else "draft-dflash"


def max_draft_tokens(drafter: Header) -> int | None:
    """The most tokens that one round drafts; None for an assistant, which chains any number."""
    if drafter.architecture == GEMMA4_ASSISTANT:
        return None
    size = drafter.whole("block_size")
    return size if spec_type(drafter) == "draft-dspark" and drafter.get("sample_from_anchor", True) else size - 1


def vocabulary_size(header: Header) -> int:
    """Tokens of the file's vocabulary. Raises InputError where it has none."""
    tokens = header.values.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Long):
        return tokens.length
    if not isinstance(tokens, list):
        raise InputError(f"{header.path}: tokenizer.ggml.tokens is missing, expected a file with its vocabulary")
    return len(tokens)


def geometry(header: Header) -> dict[str, tuple[int, int]]:
    """Head width and key/value heads per layer type, as `drafters.geometry.kv_geometry` gives them of a config."""
    layers = header.whole("block_count")
    slides = header.get("attention.sliding_window_pattern") or [False] * layers
    heads = header.each("attention.head_count_kv", layers)
    shapes: dict[str, tuple[int, int]] = {}
    for index in range(layers):
        kind = SLIDING if index < len(slides) and slides[index] else FULL
        width = header.whole("attention.key_length_swa" if kind == SLIDING else "attention.key_length")
        shapes.setdefault(kind, (width, heads[index]))
    return shapes


@dataclass(frozen=True)
class Sizes:
    """The sizes of a target on which a drafter's file and a checkpoint must agree with it."""

    layers: int
    width: int
    vocabulary: int
    window: int | None
    keys: Mapping[str, tuple[int, int]]  # head width and key/value heads per layer type


def sizes_of(target: Header) -> Sizes:
    """A target file's sizes. Raises InputError for a header that leaves one open."""
    window = target.get("attention.sliding_window")
    layers, width = target.whole("block_count"), target.whole("embedding_length")
    return Sizes(layers, width, vocabulary_size(target), window, geometry(target))


def sizes_in(raw: dict[str, Any]) -> Sizes:
    """The sizes in a target's config.json, which `check_target` has passed."""
    text = text_config(raw)
    window = text.get("sliding_window")
    return Sizes(text["num_hidden_layers"], text["hidden_size"], text["vocab_size"], window, kv_geometry(text))


def check_drafter(drafter: Header, target: Sizes, key: str) -> Fit:
    """The limits of a drafter that fits `target`. Raises InputError with the first reason why it does not."""
    check_whole(drafter, key)
    if drafter.architecture == GEMMA4_ASSISTANT:
        check_equal(key, "embedding_length_out", drafter.get("embedding_length_out"), target.width)
    else:
        check_equal(key, "embedding_length", drafter.whole("embedding_length"), target.width)
    check_equal(key, "vocabulary", vocabulary_size(drafter), target.vocabulary)
    if drafter.architecture == GEMMA4_ASSISTANT:
        for kind, shape in geometry(drafter).items():
            what = f"{kind} (head width, key/value heads)"
            check_equal(key, what, shape, target.keys.get(kind), ", whose cache it reads")
        mine = drafter.get("attention.sliding_window")
        check_equal(key, "sliding_window", mine, target.window, ", whose cache it reads")
        return Fit()
    for read in drafter.get("target_layers") or []:
        check_tap(int(read) - 1, target.layers, key)
    return Fit(max_draft_tokens(drafter), drafter.whole("block_size"))


def check_whole(header: Header, key: str) -> None:
    """Raise InputError for the first reason why the file cannot be used at all."""
    for problem in problems_of(header):
        raise InputError(f"{key}: {header.path}: {problem}")


def problems_of(header: Header) -> list[str]:
    """Every reason why the file cannot be used, one line each."""
    if header.architecture not in ROLES:
        known = ", ".join(f"{name} ({words})" for name, words in WORDS.items())
        return [f"architecture is {header.architecture!r}, expected {known}"]
    unknown = sorted({tensor.type for tensor in header.tensors.values() if tensor.bytes is None})
    problems = [f"tensors of {kind}, which is not known here; expected a type of llama.cpp's" for kind in unknown]
    needed = {"output_norm.weight", "fc.weight" if header.architecture == DFLASH else "token_embd.weight"}
    needed |= {f"blk.{layer}.attn_output.weight" for layer in range(header.whole("block_count"))}
    return problems + [f"{name} is missing" for name in sorted(needed - header.tensors.keys())]


def check_tap(tap: int, layers: int, key: str) -> None:
    """Raise InputError unless llama.cpp can hand out the output of layer `tap`: as the input of a layer after it."""
    if tap == layers - 1:
        raise InputError(
            f"{key}: the drafter taps layer {tap}, the target's last; llama.cpp hands out inputs of layers, and no "
            "layer takes that output"
        )
    if not 0 <= tap < layers:
        raise InputError(f"{key}: the drafter taps layer {tap}, expected 0 to {layers - 2} (the target's layers)")


def check_same(target: Header, raw: dict[str, Any], key: str) -> None:
    """Raise InputError where `target` is a file of another model than that of the config.json `raw`."""
    check_whole(target, key)
    mine, wanted = sizes_of(target), sizes_in(raw)
    for entry in fields(Sizes):
        found, expected = getattr(mine, entry.name), getattr(wanted, entry.name)
        if found != expected:
            raise InputError(
                f"{key}: {target.path} is another model: its {entry.name} is {found}, expected {expected} as in "
                "target.path"
            )
