"""The names of a run's files, and replacing one so that a crash leaves the old file or the new one, never half."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

GENERATIONS = "generations.jsonl"
PROMPTS = "prompts.jsonl"
ROUNDS_JOURNAL = "rounds.jsonl"
ROUNDS = "rounds.parquet"
RUN_KEY = "run_key.json"
SUMMARY_JSON = "summary.json"
SUMMARY_CSV = "summary.csv"
MANIFEST = "manifest.json"
REPORT = "report.html"
CALIBRATION = "calibration.json"


def sync_folder(folder: Path) -> None:
    """Make a new or renamed name in `folder` survive a power cut. A no-op where folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write `path` whole or not at all: a temporary neighbour, synced, then renamed over it."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; a run's files are as readable as any other new file.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
