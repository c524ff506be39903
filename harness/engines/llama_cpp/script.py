"""llama.cpp's server in a process of its own: `xllamacpp` in this one, or a `llama-server` binary below it.

`load` starts the server on the loopback address and answers with that address; prompts then go there over HTTP. The
end of the process ends the server. `harness/engines/messages.py` runs this file, perhaps in another environment; it
imports nothing of the harness.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"


def load(settings: dict[str, Any] | None = None, command: list[str] | None = None) -> tuple[dict[str, Any], Any]:
    """Start a server: `settings` are attributes of xllamacpp's CommonParams by dotted path, `command` is a binary's.

    Gives the answer, and the server, which must be kept.
    """
    port = free_port()
    if command is not None:
        started = subprocess.Popen([*command, "--host", HOST, "--port", str(port)], stdin=subprocess.DEVNULL)
        wait_for(started, f"http://{HOST}:{port}")
        return {"url": f"http://{HOST}:{port}", "versions": {}}, started
    from importlib.metadata import version

    import xllamacpp

    params = xllamacpp.CommonParams()
    for path, value in {**(settings or {}), "hostname": HOST, "port": port}.items():
        if path == "hostname":
            params.hostnames = [value]
        else:
            assign(params, path, value, xllamacpp)
    server = xllamacpp.Server(params)
    return {"url": server.listening_address, "versions": {"xllamacpp": version("xllamacpp")}}, server


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    """Return once the server is healthy. Raises RuntimeError where it ends before; the asker has a limit of time."""
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"the server's program ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:  # nobody listens yet, or the model is being loaded
            time.sleep(0.05)


def assign(params: Any, path: str, value: Any, library: Any) -> None:
    """Set one attribute. A value "ENUM.NAME" is a member of one of the library's enumerations.

    Raises ValueError for an attribute that is not there, and for a value of a wrong type.
    """
    *way, last = path.split(".")
    holder = params
    for name in way:
        holder = getattr(holder, name, None)
    if holder is None or not hasattr(holder, last):
        raise ValueError(f"{path}: this version of xllamacpp has no such parameter")
    try:
        setattr(holder, last, member(value, library))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}={value}: {error}") from error


def member(value: Any, library: Any) -> Any:
    """`value`, its "enumeration:MEMBER" strings as members."""
    if isinstance(value, list):
        return [member(one, library) for one in value]
    if isinstance(value, str) and value.startswith("enum:"):
        _, kind, name = value.split(":")
        found = getattr(getattr(library, kind, None), name, None)
        if found is None:
            raise ValueError(f"this version of xllamacpp has no {name}")
        return found
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def messages() -> dict[str, Callable[..., Any]]:
    """The functions behind each message."""
    servers: list[Any] = []

    def started(**message: Any) -> dict[str, Any]:
        answer, server = load(**message)
        servers.append(server)
        return answer

    return {"load": started, "close": lambda: end(servers)}


def end(servers: list[Any]) -> None:
    """End the programs, and this process at once: the library's own end may wait for connections."""
    for server in servers:
        if isinstance(server, subprocess.Popen):
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
    sys.stderr.flush()
    os._exit(0)
