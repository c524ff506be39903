"""The role of a GGUF file, and whether it fits: a drafter its target, a target the checkpoint that it stands for.

Everything is decided from headers, in the words in which a checkpoint's misfit is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drafters.checkpoints.fit import Fit, check_equal
from drafters.geometry import kv_geometry, text_config
from harness.errors import InputError
from harness.gguf.blocks import DFLASH
from harness.gguf.gemma import FULL, GEMMA4, GEMMA4_ASSISTANT, SLIDING
from harness.gguf.read import Header, Long, read_header

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


def check_drafter(drafter: Header, target: Header, key: str) -> Fit:
    """The limits of a drafter that fits `target`. Raises InputError with the first reason why it does not."""
    width, layers = target.whole("embedding_length"), target.whole("block_count")
    if drafter.architecture == GEMMA4_ASSISTANT:
        check_equal(key, "embedding_length_out", drafter.get("embedding_length_out"), width)
    else:
        check_equal(key, "embedding_length", drafter.whole("embedding_length"), width)
    check_equal(key, "vocabulary", vocabulary_size(drafter), vocabulary_size(target))
    if drafter.architecture == GEMMA4_ASSISTANT:
        shapes = geometry(target)
        for kind, shape in geometry(drafter).items():
            what = f"{kind} (head width, key/value heads)"
            check_equal(key, what, shape, shapes.get(kind), ", whose cache it reads")
        mine = drafter.get("attention.sliding_window")
        check_equal(key, "sliding_window", mine, target.get("attention.sliding_window"), ", whose cache it reads")
        return Fit()
    for read in drafter.get("target_layers") or []:
        check_tap(int(read) - 1, layers, key)
    return Fit(max_draft_tokens(drafter), drafter.whole("block_size"))


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
    """Raise InputError where the target of `target` is another model than that of the config.json `raw`."""
    text = text_config(raw)
    for name, mine, wanted in (
        ("block_count", target.whole("block_count"), text.get("num_hidden_layers")),
        ("embedding_length", target.whole("embedding_length"), text.get("hidden_size")),
        ("vocabulary", vocabulary_size(target), text.get("vocab_size")),
        ("attention.sliding_window", target.get("attention.sliding_window"), text.get("sliding_window")),
        ("layers' keys (head width, key/value heads)", geometry(target), kv_geometry(text)),
    ):
        if mine != wanted:
            raise InputError(
                f"{key}: {target.path} is another model: its {name} is {mine}, expected {wanted} as in target.path"
            )
