"""A lock per device: two runs that time one device at once would each measure the other."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from harness.errors import InputError
from harness.progress import warn

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]


def choose_device(name: str, place: int | None) -> str:
    """`auto` becomes the visible GPU `place` modulo their number; any other name stays as it is."""
    if place is None:
        return name
    count = torch.cuda.device_count() if name == "auto" else 0
    return f"cuda:{place % count}" if count > 1 else name


def lock_path(device: torch.device) -> Path:
    """The same file for every process that means the same piece of hardware."""
    name = "cpu"
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        name = f"gpu-{getattr(torch.cuda.get_device_properties(index), 'uuid', index)}"
    # By number: a user of a container need not have a name.
    return Path(tempfile.gettempdir()) / f"drafthouse-{os.getuid()}-{name}.lock"


@contextmanager
def hold_device(device: torch.device, *, share: bool, wait: bool) -> Iterator[None]:
    """Hold `device` for the time of a run.

    Raises InputError for a GPU that another run holds, or waits for it with `wait`; warns for a CPU, whose cores may
    suffice for two runs. With `share` nothing is held.
    """
    if share or fcntl is None:
        yield
        return
    try:
        descriptor = os.open(lock_path(device), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:  # no temporary folder that can be written
        warn(f"no lock for {device} ({error}): another run on it goes unnoticed")
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            taken = f"target.device={device} is being timed by another run (process {holder})"
            if device.type == "cpu":
                warn(f"{taken}: times of both are not to be trusted (share_device=true if that is meant)")
            elif not wait:
                raise InputError(f"{taken}: expected a free device, or share_device=true") from None
            else:
                print(f"waiting: {taken}", file=sys.stderr, flush=True)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks
            warn(f"no lock for {device} ({error}): another run on it goes unnoticed")
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
