"""Exports that are kept: a checkpoint becomes a GGUF file on first use and stays in the machine's cache."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from drafters.checkpoints.files import weight_files
from harness.engines.gguf.write import DEFAULT_TYPE, export
from harness.records.cache import cache_dir
from harness.records.files import sha256_of
from harness.target.weights import hash_weights

log = logging.getLogger(__name__)
#: Counts changes of what `export` writes, so that files of older code are made anew.
VERSION = 1
#: Files of a target that its vocabulary and end tokens come from.
SIDE_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja")


def exported(
    checkpoint: Path, kind: str = DEFAULT_TYPE, target: Path | None = None, *, key: str = "CHECKPOINT"
) -> Path:
    """The GGUF file of the folder `checkpoint` in the type `kind`, written on first use.

    `target` is the folder of a drafter's target, None for a target. The name holds a hash of everything that the file
    is made from: the same content is found again under any path. Raises InputError as `export` does.
    """
    path = cache_dir("gguf") / f"{checkpoint.resolve().name}-{kind}-{identity(checkpoint, kind, target, key)}.gguf"
    if not path.is_file():
        written = export(checkpoint, path, kind, target, key=key)
        log.info("wrote %s (%.1f MB) from %s", path, written.bytes / 1e6, checkpoint)
        for note in written.notes:
            log.warning("%s: %s", checkpoint, note)
    return path


def identity(checkpoint: Path, kind: str, target: Path | None, key: str) -> str:
    """16 hex digits over weights, configs and vocabulary."""
    made_from = {
        "version": VERSION,
        "type": kind,
        "weights": hash_weights(weight_files(checkpoint, key)),
        "files": _hashes(checkpoint),
        "target": None if target is None else _hashes(target),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def _hashes(folder: Path) -> dict[str, str]:
    present = [name for name in SIDE_FILES if (folder / name).is_file()]
    return {name: sha256_of(folder / name) for name in present}
