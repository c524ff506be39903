"""Runs `program.py` of the current folder under limits; `sandbox.py` starts it in its own process.

Imports nothing of the project, so that it starts fast and holds no secrets.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
FILE_BYTES = 1 << 20
OPEN_FILES = 64
PROCESSES = 64


def limit(memory_mb: int, seconds: int) -> None:
    """Set hard limits, which the process cannot raise again."""
    wanted = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _, ceiling = resource.getrlimit(kind)
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (value, value))


def leave_network() -> None:
    """Enter an empty network namespace if the system grants one, and refuse sockets in Python in any case."""
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
        if unshare(CLONE_NEWNET) != 0:
            unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except (OSError, AttributeError):  # no such call outside Linux
        pass
    import socket

    class Refused(socket.socket):
        """Still a class, because `ssl` derives from it."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            refuse()

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise OSError("no network here")

    socket.socket = Refused  # type: ignore[misc]
    for name in ("create_connection", "create_server", "getaddrinfo", "socketpair"):
        setattr(socket, name, refuse)


def main() -> None:
    memory_mb, seconds = int(sys.argv[1]), int(sys.argv[2])
    word = sys.stdin.read()
    source = Path("program.py").read_text(encoding="utf-8")
    leave_network()
    limit(memory_mb, seconds)
    sys.argv = ["program.py"]
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})
    sys.stdout.flush()
    print(f"\n{word}", flush=True)


if __name__ == "__main__":
    main()
