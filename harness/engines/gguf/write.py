"""Writing a GGUF file from a checkpoint folder, tensor by tensor: memory stays at the size of the largest one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drafters.checkpoints.dflash import parse_config
from drafters.checkpoints.files import read_model_config
from drafters.checkpoints.fit import check_fit
from drafters.errors import InputError
from drafters.geometry import text_config
from drafters.layouts.known import find_layout, layout_of
from drafters.registry import kind_of
from harness.engines.gguf.blocks import block_content, check_known
from harness.engines.gguf.content import Content, Piece, Reader, Value
from harness.engines.gguf.fit import check_tap
from harness.engines.gguf.gemma import (
    assistant_content,
    check_assistant,
    check_unpacked,
    layer_values,
    target_content,
)
from harness.engines.gguf.tokens import vocabulary_values
from harness.records.files import naming, sync_folder
from harness.target.files import check_target, is_target, text_config_of

#: What `--type` names, with llama.cpp's number for a file of that type.
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7}
DEFAULT_TYPE = "f32"
ROW = 32  # numbers in a block of q8_0; a tensor with other rows is written as f16
EXTRA = "pip install 'drafthouse[llama]'"


@dataclass(frozen=True)
class Written:
    """A written file. `types` counts its tensors by their type."""

    path: Path
    architecture: str
    bytes: int
    types: dict[str, int]
    notes: tuple[str, ...]


def contents(checkpoint: Path, target: Path | None, key: str) -> Content:
    """The content of the file for `checkpoint`: a target, or a drafter of `target` (None: its own folder).

    Raises InputError for a folder that cannot be exported, naming `key`.
    """
    raw = read_model_config(checkpoint, key)
    layout = find_layout(raw)
    tokens, size = target or checkpoint, text_config(raw).get("vocab_size")
    if layout is not None and target is not None:
        _check_fit(layout.kind, raw, target, key)
    if layout is None and is_target(raw):
        content, tokens = target_content(checkpoint, key), checkpoint
    elif layout is None:
        layout_of(raw, key)
        raise AssertionError("a folder without a layout was read")
    elif kind_of(layout.kind).drafts_blocks:
        content = block_content(checkpoint, raw, layout, tokens, key)
        size = content.values["vocab_size"]
        content.general["tokenizer.ggml.mask_token_id"] = int(layout.parse(raw, key).mask_token_id)
    else:
        content = assistant_content(checkpoint, raw, layout, key)
    assert isinstance(size, int)
    content.general = (
        {"general.type": "model", "general.name": checkpoint.resolve().name}
        | vocabulary_values(tokens, size, key)
        | content.general
    )
    return content


def check_exportable(folder: Path, target: Path | None, key: str) -> None:
    """Raise InputError for a checkpoint that llama.cpp would compute otherwise, from its config.json alone.

    `target` is the folder of a drafter's target, None for a target.
    """
    raw = read_model_config(folder, key)
    if target is None:
        check_target(raw, key)
        config = text_config_of(raw, key)
        check_unpacked(config, folder, key)
        layer_values(config, 0, key)
        return
    layout = layout_of(raw, key)
    config = layout.parse(raw, key)
    if kind_of(layout.kind).drafts_blocks:
        check_known(config, key)
    else:
        check_assistant(config, key)
        layer_values(config.text_config, 0, key)
    _check_fit(layout.kind, raw, target, key)


def _check_fit(kind: str, raw: dict[str, Any], target: Path, key: str) -> None:
    """Raise InputError for a drafter that does not fit the target, or taps what llama.cpp does not hand out."""
    aim = text_config(read_model_config(target, key))
    check_fit(kind, raw, aim, key)
    if kind_of(kind).drafts_blocks:
        for tap in parse_config(raw, key).target_layer_ids:
            check_tap(tap, int(aim["num_hidden_layers"]), key)


def export(
    checkpoint: Path,
    out: Path,
    kind: str = DEFAULT_TYPE,
    target: Path | None = None,
    *,
    key: str = "CHECKPOINT",
    progress: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write the folder `checkpoint` as `out` in the type `kind`; whole or not at all.

    Raises InputError for a type or folder that cannot be written, or without the `gguf` package.
    """
    if kind not in FILE_TYPES:
        raise InputError(f"--type is {kind!r}, expected {', '.join(FILE_TYPES)}")
    gguf = package()
    content = contents(checkpoint, target, key)
    with _new_file(out) as temporary:
        writer = gguf.GGUFWriter(None, content.architecture)
        writer.add_file_type(FILE_TYPES[kind])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, value in content.keys().items():
            _add(gguf, writer, name, value)
        types: dict[str, int] = {}
        for piece in content.pieces:
            stored = stored_type(piece, kind)
            types[stored] = types.get(stored, 0) + 1
            _announce(gguf, writer, piece, stored)
        writer.write_header_to_file(temporary)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        reader = Reader()
        for number, piece in enumerate(content.pieces, start=1):
            progress(f"{number}/{len(content.pieces)} {piece.name}")
            writer.write_tensor_data(packed(gguf, reader.get(piece), stored_type(piece, kind)))
        writer.close()
        size = temporary.stat().st_size
    return Written(out, content.architecture, size, types, tuple(content.notes))


def package() -> Any:
    """The `gguf` package. Raises InputError where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise InputError(f"the package gguf is not installed, which writes GGUF files: {EXTRA}") from error
    return gguf


def stored_type(piece: Piece, kind: str) -> str:
    """The type in which a tensor is written, by llama.cpp's name in lower case."""
    if piece.made is not None and not piece.made.is_floating_point():
        return "i64"
    if piece.plain:
        return "f32"
    return "f16" if kind == "q8_0" and piece.shape[-1] % ROW else kind


def packed(gguf: Any, tensor: Tensor, stored: str) -> Any:
    """The tensor's numbers as numpy holds them in the type `stored`."""
    if stored == "i64":
        return tensor.to(torch.int64).contiguous().numpy()
    if stored == "f16":
        return tensor.to(torch.float16).contiguous().numpy()
    values = tensor.to(torch.float32).contiguous().numpy()
    return values if stored == "f32" else gguf.quantize(values, gguf.GGMLQuantizationType[stored.upper()])


def _announce(gguf: Any, writer: Any, piece: Piece, stored: str) -> None:
    import numpy as np

    raw = gguf.GGMLQuantizationType[stored.upper()]
    block, size = gguf.GGML_QUANT_SIZES[raw]
    count = 1
    for length in piece.shape:
        count *= length
    writer.add_tensor_info(piece.name, piece.shape, np.dtype(np.float32), count // block * size, raw)


def _add(gguf: Any, writer: Any, name: str, value: Value) -> None:
    kinds = gguf.GGUFValueType
    if isinstance(value, bool):
        writer.add_key_value(name, value, kinds.BOOL)
    elif isinstance(value, int):
        writer.add_key_value(name, value, kinds.UINT32)
    elif isinstance(value, float):
        writer.add_key_value(name, value, kinds.FLOAT32)
    elif isinstance(value, str):
        writer.add_key_value(name, value, kinds.STRING)
    else:
        writer.add_key_value(name, value, kinds.ARRAY, None if value else kinds.STRING)


@contextlib.contextmanager
def _new_file(out: Path) -> Iterator[Path]:
    """A temporary neighbour of `out`, renamed over it at the end of the block, removed where the block fails."""
    with naming(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)
    temporary = Path(name)
    try:
        os.close(descriptor)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, out)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(out.parent)
