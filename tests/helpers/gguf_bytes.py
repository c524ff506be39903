"""A GGUF file's bytes, packed by hand: headers can be wrong in ways that a writer would not write."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from drafters.geometry import text_config
from harness.engines.gguf.fit import sizes_in
from harness.engines.gguf.gemma import FULL, SLIDING


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(of: Any) -> bytes:
    """Kind and content; lists take the kind of their first member."""
    kind, content = _kind(of), b""
    if isinstance(of, list):
        inner = _kind(of[0])
        return struct.pack("<IIQ", 9, inner, len(of)) + b"".join(_plain(one) for one in of)
    content = _plain(of)
    return struct.pack("<I", kind) + content


def _kind(of: Any) -> int:
    kinds = {bool: 7, int: 4, float: 6, str: 8, list: 9}
    return kinds[type(of)]


def _plain(of: Any) -> bytes:
    if isinstance(of, str):
        return text(of)
    return struct.pack({bool: "<?", int: "<I", float: "<f"}[type(of)], of)


def pack(values: dict[str, Any], tensors: dict[str, tuple[int, ...]], *, version: int = 3, kind: int = 0) -> bytes:
    """A file of float32 tensors of zeros (or of the type number `kind`), shapes as in torch."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for name, one in values.items():
        out += text(name) + value(one)
    offset = 0
    for name, shape in tensors.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)
        size = 4
        for length in shape:
            size *= length
        offset += -(-size // 32) * 32
    out += b"\0" * (-len(out) % 32)
    return out + b"\0" * offset


#: Keys of a small target, without its architecture's prefix.
TARGET = {
    "block_count": 2, "embedding_length": 32, "context_length": 64, "attention.sliding_window": 16,
    "attention.sliding_window_pattern": [True, False], "attention.head_count_kv": [2, 1],
    "attention.key_length": 16, "attention.key_length_swa": 8,
}  # fmt: skip


def write(folder: Path, architecture: str, changes: dict[str, Any] | None = None, *, tokens: int = 8) -> Path:
    """A file of `architecture` with a target's keys, changed by `changes` (None takes a key away)."""
    keys = {name: one for name, one in {**TARGET, **(changes or {})}.items() if one is not None}
    values = {"general.architecture": architecture, "tokenizer.ggml.tokens": [f"t{i}" for i in range(tokens)]}
    values |= {f"{architecture}.{name}": one for name, one in keys.items()}
    names = ["output_norm.weight", "token_embd.weight", "fc.weight"]
    names += [f"blk.{layer}.attn_output.weight" for layer in range(keys.get("block_count", 0))]
    path = folder / f"{architecture}.gguf"
    path.write_bytes(pack(values, dict.fromkeys(names, (4, 32))))
    return path


def stand_in(folder: Path, architecture: str, target: Path, **changes: Any) -> Path:
    """A file without weights worth loading that fits, or stands for, the target in the folder `target`."""
    raw = json.loads((target / "config.json").read_text(encoding="utf-8"))
    sizes, kinds = sizes_in(raw), text_config(raw)["layer_types"]
    values = {
        "block_count": sizes.layers, "embedding_length": sizes.width, "embedding_length_out": sizes.width,
        "attention.sliding_window": sizes.window,
        "attention.sliding_window_pattern": [kind == SLIDING for kind in kinds],
        "attention.head_count_kv": [sizes.keys[kind][1] for kind in kinds],
        "attention.key_length": sizes.keys[FULL][0], "attention.key_length_swa": sizes.keys[SLIDING][0],
        "block_size": 16, "target_layers": [1],
    }  # fmt: skip
    return write(folder, architecture, values | changes, tokens=sizes.vocabulary)
