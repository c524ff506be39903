"""A lock per device: two runs that time one device at once would each measure the other."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import lock_descriptor

from drafters.errors import InputError
from harness.records.progress import warn


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
    # By number: a user of a container need not have a name. On Windows the folder is the user's own.
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"drafthouse-{user}-{name}.lock"


@contextmanager
def hold_device(device: torch.device, *, share: bool, wait: bool) -> Iterator[None]:
    """Hold `device` for the time of a run.

    Raises InputError for a GPU that another run holds, or waits for it with `wait`; warns for a CPU, whose cores may
    suffice for two runs. With `share` nothing is held.
    """
    if share:
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
            free = lock_descriptor(descriptor, blocking=False)
            if not free:
                taken = f"target.device={device} is being timed by another run (process {holder(descriptor)})"
                if device.type == "cpu":
                    warn(f"{taken}: times of both are not to be trusted (share_device=true if that is meant)")
                elif not wait:
                    raise InputError(f"{taken}: expected a free device, or share_device=true")
                else:
                    print(f"waiting: {taken}", file=sys.stderr, flush=True)
                    free = lock_descriptor(descriptor)
            if free:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:  # a file system without locks
            warn(f"no lock for {device} ({error}): another run on it goes unnoticed")
        yield
    finally:
        os.close(descriptor)


def holder(descriptor: int) -> str:
    """The process that noted itself in the lock's file."""
    try:
        return os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
    except OSError:  # Windows reads no locked byte
        return "unknown"
