"""The server inside the xllamacpp wheel behind llama-server's command line: the wheel brings no such program.

`install` writes it as an executable, which takes llama-server's long options and serves until it is ended.
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from typing import Any

from harness.engines.llama_cpp.script import assign
from harness.engines.llama_cpp.settings import as_attributes
from harness.vocabulary import LLAMA_CPP, ROOT


def settings_in(arguments: list[str]) -> dict[str, Any]:
    """llama-server's options under the harness's names: `--no-x` is false, an option without a value true."""
    found: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        name = waiting.pop(0).removeprefix("--")
        if waiting and not waiting[0].startswith("--"):
            found[name.replace("-", "_")] = number_in(waiting.pop(0))
        else:
            found[name.removeprefix("no-").replace("-", "_")] = not name.startswith("no-")
    return found


def number_in(text: str) -> int | float | str:
    """`text` as an integer, else as a number, else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def main(arguments: list[str]) -> None:
    library = importlib.import_module("xllamacpp")
    settings, params = settings_in(arguments), library.CommonParams()
    settings = {"host": "127.0.0.1", "port": 8080, **settings}  # llama-server's own
    params.hostnames = [settings.pop("host")]
    for path, value in as_attributes(settings).items():
        assign(params, path, value, library)
    server = library.Server(params)
    print(f"serving at {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait([signal.SIGINT])  # any other signal ends it as it stands


def install(folder: Path) -> str:
    """An executable `llama-server` in `folder`, run by the Python that has the wheel and perhaps nothing else."""
    from harness.config.engine import EngineConfig  # not where the server runs

    program = folder / "llama-server"
    lines = [f"#!{EngineConfig(name=LLAMA_CPP).interpreter()}", "import sys", f"sys.path[:0] = [{str(ROOT)!r}]"]
    lines += ["from benchmarks.conformance.wheel_server import main", "main(sys.argv[1:])", ""]
    program.write_text("\n".join(lines), encoding="utf-8")
    program.chmod(0o755)
    return str(program)
