"""The engine's end of `harness.engines.worker`: answers its messages with the functions of an engine's script.

    ENGINE_PYTHON -P messages.py SCRIPT

JSON lines come in on stdin and go out on the original stdout. SCRIPT defines `messages()`, which gives a function for
each message by name; `close` is answered by the end of the process, as is the end of stdin, which the end of the
harness brings too. This file and the scripts run by their paths in the engines' own environments, and import nothing
of the harness.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, TextIO


def take_over_stdout() -> TextIO:
    """The protocol's end of stdout; prints go to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def loaded(script: str) -> Any:
    """The script as a module."""
    spec = spec_from_file_location("script", script)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["script"] = module
    spec.loader.exec_module(module)
    return module


def main(script: str) -> None:
    channel = take_over_stdout()
    known = loaded(script).messages()
    for line in sys.stdin:
        message = json.loads(line)
        name = message.pop("op")
        if name == "close":
            break
        try:
            answer = known[name](**message)
        except Exception as error:  # the caller records it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()
    if "close" in known:
        known["close"]()


if __name__ == "__main__":
    main(sys.argv[1])
