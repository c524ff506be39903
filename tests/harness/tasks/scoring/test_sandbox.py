"""Programs run fenced in: harmful attempts fail, and only reaching the end passes."""

from __future__ import annotations

import socket
import time

import pytest

from harness.config import ScoringConfig
from harness.tasks.scoring.sandbox import run_program

LIMITS = ScoringConfig(execute_code=True, timeout_s=5, memory_mb=256)


def test_a_program_that_ends_passes_and_may_print() -> None:
    assert run_program("print('hello')\nassert 1 + 1 == 2\n", LIMITS).passed


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("def (", "SyntaxError"),
        ("import sys\nsys.exit(0)", "ended with code 0"),
        ("import os\nos._exit(0)", "ended with code 0"),
        ("raise SystemExit", "ended with code 0"),
        ("x = bytearray(1 << 30)", "MemoryError"),
        ("open('big', 'wb').write(bytes(4 << 20))", ""),
        ("import socket\nsocket.socket()", "no network here"),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')", "no network here"),
    ],
)
def test_anything_else_fails_with_its_last_line(program: str, reason: str) -> None:
    outcome = run_program(program, LIMITS)
    assert not outcome.passed
    assert reason in outcome.reason


def test_a_program_that_never_ends_is_stopped_with_its_children() -> None:
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    before = time.monotonic()
    outcome = run_program(child + "while True: pass", ScoringConfig(execute_code=True, timeout_s=1, memory_mb=256))
    assert not outcome.passed and "not done after 1 s" in outcome.reason
    assert time.monotonic() - before < 10


def test_it_runs_in_an_empty_folder_without_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    program = "import os\nassert 'HF_TOKEN' not in os.environ\nassert os.listdir('.') == ['program.py']"
    assert run_program(program, LIMITS).passed


def test_a_listening_port_of_this_machine_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # Behind Python's refusal only the namespace is left; on a system that grants none there is nothing to test.
        program = f"import _socket\ns = _socket.socket()\ns.connect(('127.0.0.1', {port}))"
        outcome = run_program(program, LIMITS)
        if outcome.passed:
            pytest.skip("this system grants no network namespace")
        assert "Error" in outcome.reason
