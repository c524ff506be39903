"""The harness's end of an engine's process: starts it, asks it, and ends it for certain.

Messages are JSON objects, one a line: `load` with the engine's arguments first, `close` last, between them whatever the
engine's script knows. Each is answered by one object, which holds `error` if it failed. The other end is
`harness/engines/messages.py` with a script of the engine's folder, in the engine's own environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MESSAGES = Path(__file__).with_name("messages.py")
PATIENCE_S = 20.0
QUOTED_LINES = 12


class EngineError(RuntimeError):
    """The engine could not do what it was asked."""


class WorkerProcess:
    """A running `script` of an engine, under the Python that has the engine.

    Its stderr goes to `log`; an error after its death quotes the end of it. `environment` is set on top of this
    process's own, `title` is the engine's name in errors.
    """

    def __init__(self, python: str, script: Path, environment: Mapping[str, str], log: Path, title: str) -> None:
        self.log, self.title = log, title
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [python, "-P", str(MESSAGES), str(script)],  # -P: no folder of ours before the engine's packages
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ} | {name: str(value) for name, value in environment.items()},
                start_new_session=True,  # a Ctrl-C is the harness's to handle
            )

    def ask(self, op: str, timeout_s: float | None = None, **arguments: Any) -> dict[str, Any]:
        """The answer to one message. Raises EngineError when the worker fails, dies, or takes longer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(timeout_s, give_up) if timeout_s else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            self.process.stdin.write((json.dumps({"op": op, **arguments}) + "\n").encode())
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b""
        finally:
            if timer is not None:
                timer.cancel()
        if not line:
            what = f"did not answer {op} within {timeout_s:.0f} s" if late.is_set() else f"ended during {op}"
            raise EngineError(f"{self.title} {what}; {self.log} ends with: {last_lines(self.log)}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EngineError(
                f"{self.title} answered {op} with {line!r:.200}, expected a JSON object (more in {self.log})"
            )
        if "error" in answer:
            raise EngineError(f"{self.title} refused {op}: {answer['error']} (more in {self.log})")
        return answer

    def last_words(self) -> str:
        """The end of the log, to be appended to an error."""
        return f"; {self.log} ends with: {last_lines(self.log)}"

    def close(self) -> None:
        """End the process and all it started; memory is free when this returns."""
        if self.process.poll() is None and self.process.stdin is not None:
            try:
                self.process.stdin.write(b'{"op": "close"}\n')
                self.process.stdin.close()
                self.process.wait(PATIENCE_S)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """End the rest of the worker's process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                break
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                continue
        self.process.poll()


def last_lines(log: Path) -> str:
    """The end of a log, on one line."""
    with log.open(encoding="utf-8", errors="replace") as file:
        return " | ".join(line.strip() for line in deque(file, QUOTED_LINES) if line.strip()) or "nothing"
