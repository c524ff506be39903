"""The names of a run's files, and their replacement: a crash leaves the old file or the new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from drafters.errors import InputError

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
LOOKS = "looks.json"
COSTS = "costs.json"
CURVE = "curve.json"
REDRAFTED = "redrafted.jsonl"
DIAGNOSIS = "diagnosis.json"
EARLIER = "earlier.json"
SUPERSEDED = "superseded"  # a sweep's folder for records that its jobs no longer ask for
#: The error of every reader for a run that was stopped before its first generation was committed.
#: Errors of a full or failing disk: no fault of the harness, and no reason to lose committed records.
STORAGE_FAILED = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "ESTALE") if hasattr(errno, name)
)
NOTHING_YET = "nothing is committed yet, expected a run with at least one finished generation"


def sha256_of(path: Path) -> str:
    """The hash of a file's content, 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_runs(folder: Path) -> list[Path]:
    """Every run in or below `folder`: a directory with a journal, or with the summary alone.

    Jobs of a sweep come by number; records that a sweep has set aside are left out. Raises InputError where `folder`
    holds no run.
    """
    found = {path.parent for name in (GENERATIONS, SUMMARY_JSON) for path in folder.rglob(name)}
    runs = [path for path in found if SUPERSEDED not in path.relative_to(folder).parts]
    if not runs:
        raise InputError(
            f"{folder}: no {GENERATIONS} or {SUMMARY_JSON} in it or below, expected a run directory or a sweep of them"
        )
    return sorted(runs, key=_in_order)


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file in `folder` survive a power cut. Does nothing where folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write `path` whole or not at all: a temporary neighbour, synced, then renamed over it.

    Half surrogates, which Python makes of folder names that are not UTF-8, are written as backslash escapes; JSON
    reads them back. Raises OSError that names `path`.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with naming(path):
        _replace(path, data)
    sync_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Let an OSError of the block name `path`: the system's error for a full disk names no file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def check_writable(folder: Path, key: str) -> None:
    """Create `folder` if it is missing. Raises InputError that names `key` if a run cannot be recorded in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for journal in (folder / GENERATIONS, folder / ROUNDS_JOURNAL):
            if journal.exists():
                journal.open("ab").close()
    except OSError as error:
        if error.errno in STORAGE_FAILED:
            raise
        raise InputError(f"{key}={folder}: {error.strerror}, expected a folder that this user may write") from error


def _in_order(path: Path) -> list[tuple[int, str]]:
    # Jobs of a sweep are called 0, 1, ..., 10.
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]


def _replace(path: Path, data: bytes) -> None:
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
