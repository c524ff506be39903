"""JSONL files that survive a crash: appended with a sync, cut after the last whole line, read past lost lines."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.records.files import naming
from harness.records.stored import warn_once

BLOCK = 1 << 16


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; none if it is absent. A torn last line is skipped.

    A line of NUL bytes, which a power cut leaves of an unwritten block, is skipped with a warning. Raises InputError
    with file and line number for any other line that is not a JSON object.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            if not raw.strip(b"\0\n"):
                lost = "its record is lost, and decoded again where the run is continued"
                warn_once(f"{path}:{number}: the line holds NUL bytes only, as after a power cut: {lost}")
                continue
            try:
                # Decoded here, since the parser would take NUL bytes for UTF-32.
                line = json.loads(raw.decode())
            except ValueError as error:
                raise InputError(
                    f"{path}:{number}: expected a JSON object, the line is damaged ({error}); "
                    "without this line only its own record is lost"
                ) from error
            if not isinstance(line, dict):
                raise InputError(f"{path}:{number}: expected a JSON object, got {type(line).__name__}")
            yield line


def open_for_append(path: Path) -> FileIO:
    # Unbuffered: after a failed write, a later flush must not add the rest.
    return open(path, "a+b", buffering=0)


def open_locked(path: Path) -> FileIO:
    """The file opened for this process alone until it is closed. Raises InputError while another one holds it."""
    from filelock import lock_descriptor  # 0.1 s that readers need not wait for

    file = open_for_append(path)
    free = True  # on a network file system without locks
    with contextlib.suppress(OSError):
        free = lock_descriptor(file.fileno(), blocking=False)
    if not free:
        file.close()
        raise InputError(f"hydra.run.dir={path.parent}: another process is writing this run; expected one at a time")
    return file


def cut_torn_line(file: FileIO, block: int = BLOCK) -> None:
    """Truncate to just after the last newline, which is looked for from the end, `block` bytes at a time."""
    start = end = _size(file)
    while start > 0:
        start = max(0, start - block)
        file.seek(start)
        newline = file.read(block).rfind(b"\n")
        if newline >= 0:
            keep = start + newline + 1
            break
    else:
        keep = 0
    if keep < end:
        file.truncate(keep)
        os.fsync(file.fileno())


def append_lines(file: FileIO, lines: Sequence[Mapping[str, Any]]) -> None:
    if not lines:
        return
    data = memoryview("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())
    before = _size(file)
    try:
        with naming(file.name):
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
    except BaseException:
        # A full disk must not leave half a line before later ones; a dying disk may refuse even this.
        with contextlib.suppress(OSError):
            file.truncate(before)
        raise


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size
