"""Files and folders that are no checkpoint of safetensors: their kind, and the remedy."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
#: The longest header that safetensors itself reads.
LONGEST_HEADER = 100_000_000
GGUF = (
    "llama.cpp's format, which engine=llama_cpp reads as target.gguf or drafters.NAME.gguf; expected a folder with "
    "config.json and safetensors files"
)


def is_lfs_pointer(path: Path) -> bool:
    """True for the pointer file that a clone without git-lfs leaves in place of a large one."""
    with path.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER


def lfs_hint(path: Path) -> str:
    return (
        f"{path} is a Git LFS pointer, not the file itself: run 'git lfs install' and 'git lfs pull' in {path.parent}, "
        "or download it with 'hf download'"
    )


def describe_file(path: Path) -> str:
    """The kind of a file that was named where a folder is expected."""
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"GGUF" or path.suffix.lower() == ".gguf":
        return f"a GGUF file, {GGUF}"
    return "a file, expected the folder that holds it and its config.json"


def describe_folder(folder: Path) -> str | None:
    """The kind of a folder without a model's checkpoint; None for an unknown kind."""
    if (folder / "adapter_config.json").is_file():
        base = base_of_adapter(folder)
        return (
            f"is a LoRA adapter of {base}, not a model: merge it into its base (peft's merge_and_unload, then "
            "save_pretrained) and name the merged folder"
        )
    if gguf := sorted(folder.glob("*.gguf")):
        return f"holds {gguf[0].name}, {GGUF}"
    return None


def base_of_adapter(folder: Path) -> str:
    """The model that an adapter was trained on, as its own file names it."""
    try:
        adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return str(adapter.get("base_model_name_or_path") or "an unnamed model")
    except (OSError, ValueError, RecursionError, AttributeError):
        return "an unnamed model"


def unfinished_download(folder: Path) -> str | None:
    """The name of a file that a download has left unfinished in the folder, None where there is none."""
    places = (folder, folder / ".cache" / "huggingface" / "download")
    left = [path.name for place in places for ending in ("incomplete", "part") for path in place.glob(f"*.{ending}")]
    return min(left, default=None)


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: eight bytes of length, then the text.

    Raises ValueError with the reason where the file holds less than its header promises, or no header at all.
    """
    size = path.stat().st_size
    if size < 8:
        raise ValueError(f"cut off, {size} bytes are here; download it again")
    with path.open("rb") as stream:
        start = stream.read(8)
        (length,) = struct.unpack("<Q", start)
        if length > LONGEST_HEADER:
            raise ValueError(f"it begins with {start!r}, which is no length of a header")
        if 8 + length > size:
            raise ValueError(f"cut off, {size} bytes are here and its header alone has {length}; download it again")
        try:
            header = json.loads(stream.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            whole = 8 + length + max(ends, default=0)
        except (ValueError, RecursionError, AttributeError, KeyError, IndexError, TypeError) as error:
            raise ValueError("its header is no list of tensors") from error
    if size < whole:
        raise ValueError(f"cut off, {size} of {whole} bytes are here; download it again")
    assert isinstance(header, dict)
    return header
