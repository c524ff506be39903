"""Consoles that break, disks that refuse, and what commands say then."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import pytest


@contextmanager
def reader_gone() -> Iterator[None]:
    """stdout as a pipe whose reader has left; at the end nothing may wait in it that would fail when a process ends.

    No fixture: the one that captures output would put its own stdout back before the test begins.
    """
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield


def ascii_console(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """stdout that knows ASCII alone; the call reads what was printed."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    return lambda: (stream.flush(), buffer.getvalue().decode("ascii"))[1]


def full_disk(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.EROFS, "Read-only file system")


def errors(text: str) -> list[str]:
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]
