"""Identifies a checkpoint from its files, without loading it: revision, hash, parameters and bytes."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from drafters.checkpoints.files import weight_files
from drafters.checkpoints.other_formats import read_header
from harness.records.files import sha256_of

#: Above this size only the ends of each file are hashed; a full pass would delay large runs by minutes.
FULL_HASH_BYTES = 1 << 30
SAMPLE_BYTES = 1 << 20
TENSOR_BYTES = 1 << 12


def describe_checkpoint(folder: Path, key: str) -> dict[str, Any]:
    """Identity and size of the checkpoint in `folder`."""
    files = weight_files(folder, key)
    headers = [read_header(file) for file in files]
    tensors = [tensor for header in headers for name, tensor in header.items() if name != "__metadata__"]
    return {
        "folder": str(folder),
        "revision": hub_revision(folder),
        **hash_weights(files),
        "config_sha256": sha256_of(folder / "config.json"),
        "parameters": sum(math.prod(tensor["shape"]) for tensor in tensors),
        "bytes": sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in tensors),
        "stored_dtypes": sorted({tensor["dtype"] for tensor in tensors}),
    }


def hub_revision(folder: Path) -> str | None:
    """The commit of a hub snapshot, which is the name of its folder in the cache."""
    return folder.name if folder.parent.name == "snapshots" else None


def hash_weights(files: list[Path]) -> dict[str, str]:
    """SHA-256 over names, sizes and contents; for large checkpoints over the first and last MiB of each file, and
    another one over the beginning of every tensor."""
    digest = hashlib.sha256()
    whole = sum(file.stat().st_size for file in files) <= FULL_HASH_BYTES
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}\n".encode())
        with file.open("rb") as stream:
            if whole:
                while chunk := stream.read(SAMPLE_BYTES):
                    digest.update(chunk)
            else:
                digest.update(stream.read(SAMPLE_BYTES))
                stream.seek(max(0, size - SAMPLE_BYTES))
                digest.update(stream.read(SAMPLE_BYTES))
    found = {"weights_hash": digest.hexdigest(), "weights_hash_kind": "sha256" if whole else "sha256 of file ends"}
    return found if whole else {**found, "tensors_sha256": hash_tensors(files)}


def hash_tensors(files: list[Path]) -> str:
    """SHA-256 over the beginning of every tensor, where a model that was trained further differs."""
    digest = hashlib.sha256()
    for file in files:
        header = read_header(file)
        with file.open("rb") as stream:
            data = 8 + int.from_bytes(stream.read(8), "little")
            for name in sorted(header.keys() - {"__metadata__"}):
                begin, end = header[name]["data_offsets"]
                stream.seek(data + begin)
                digest.update(stream.read(min(TENSOR_BYTES, end - begin)))
    return digest.hexdigest()
