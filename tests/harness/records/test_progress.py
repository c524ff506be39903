"""Progress goes to stderr and knows when the run will end."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from harness.records import progress as module
from harness.records.progress import RunProgress


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    console = Console(file=io.StringIO(), width=80)
    with RunProgress(10, console) as progress:
        progress.restart()
        progress.show("p mtp")
        for _ in range(10):
            seconds[0] += 8.0
            progress.advance()
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "3/10 generations, 0:56 left (p mtp)",
        "6/10 generations, 0:32 left (p mtp)",
        "9/10 generations, 0:08 left (p mtp)",
        "10/10 generations, 0:00 left (p mtp)",
    ]


def test_generations_of_an_earlier_attempt_do_not_speed_up_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    progress = RunProgress(100, Console(file=io.StringIO()))
    progress.skip(90)
    progress.restart()
    assert progress.remaining(0.0) == "?"
    seconds[0] = 60.0
    progress.advance()
    assert progress.remaining(60.0) == "9:00"
    assert progress.remaining(6000.0) == "15:00:00"


def test_minutes_of_other_work_are_announced_in_a_log() -> None:
    console = Console(file=io.StringIO(), width=80)
    with RunProgress(4, console) as progress:
        progress.announce("compiling mtp")
        progress.show("p mtp")
    assert console.file.getvalue() == "compiling mtp\n"  # type: ignore[attr-defined]


def test_a_terminal_gets_a_bar() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with RunProgress(4, console) as progress:
        progress.show("p mtp")
        progress.skip(1)
        progress.advance(3)
    assert "4/4" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_clock_ticks_while_nothing_is_timed_and_stands_still_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_TICKS", 0.001)
    drawn = threading.Semaphore(0)
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with RunProgress(4, console) as progress:
        assert progress.bar is not None
        monkeypatch.setattr(progress.bar, "draw", lambda label, done: drawn.release())
        progress.announce("compiling mtp")
        assert all(drawn.acquire(timeout=10) for _ in range(5)), "redrawn without a generation"
        progress.announce("costs of every k", timed=True)
        assert not progress._ticking.is_set()
        progress.announce("warm-up of mtp")
        progress.show("p mtp")
        assert not progress._ticking.is_set()
