"""The harness's end of a vLLM process: starts it, asks it, and ends it for certain.

Messages are JSON objects, one a line: `load` with vLLM's `LLM` arguments, `decode`, `scores` (logits of a next token),
`gaps` (an answer judged on its own prefixes), `counters`, `close`. Each is answered by one object, which holds `error`
if it failed. The other end is `vllm_worker.py`, run by its path in vLLM's environment.
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

SCRIPT = Path(__file__).with_name("vllm_worker.py")
PATIENCE_S = 20.0
QUOTED_LINES = 12


class EngineError(RuntimeError):
    """The engine could not do what it was asked."""


class WorkerProcess:
    """A running worker. Its stderr goes to `log`; an error after its death quotes the end of it."""

    def __init__(self, python: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        inherited = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                # -P: the script's folder must not come before vLLM's own packages.
                [python, "-P", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=inherited | {name: str(value) for name, value in environment.items()},
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
            raise EngineError(f"vLLM {what}; {self.log} ends with: {last_lines(self.log)}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EngineError(f"vLLM answered {op} with {line!r:.200}, expected a JSON object (more in {self.log})")
        if "error" in answer:
            raise EngineError(f"vLLM refused {op}: {answer['error']} (more in {self.log})")
        return answer

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
