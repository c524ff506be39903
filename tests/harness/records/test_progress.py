"""Progress goes to stderr and knows when the run will end."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.records import progress as module
from harness.records.progress import RunProgress, progress_line


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


def test_results_so_far_stand_in_the_log() -> None:
    console = Console(file=io.StringIO(), width=80)
    with RunProgress(1, console) as progress:
        progress.show("p mtp")
        progress.note(["mtp 1.71x", "dflash 1.43x"])
        progress.advance()
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "1/1 generations, mtp 1.71x, dflash 1.43x so far, 0:00 left (p mtp)\n"
    )


BOTH = ["mtp 1.71x", "dflash 1.43x"]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (40, "42/84 · mtp 1.71x so far · 0:18 left"),
        (60, "42/84 · mtp 1.71x · dflash 1.43x so far · 0:18 left"),
        (80, "code-012 dflash · 42/84 · mtp 1.71x · dflash 1.43x so far · 0:18 left"),
        (100, "code-012 dflash · 42/84 generations · mtp 1.71x · dflash 1.43x so far · 0:31 elapsed · 0:18 left"),
        (140, "code-012 dflash · ━━━━━━━━╌╌╌╌╌╌╌╌ · 42/84 generations · mtp 1.71x · dflash 1.43x so far · "
              "0:31 elapsed · 0:18 left"),
    ],
)  # fmt: skip
def test_the_line_gives_up_what_matters_least_where_a_terminal_is_narrow(width: int, line: str) -> None:
    shown = progress_line(
        42, 84, "generations", label="code-012 dflash", results=BOTH, elapsed="0:31", left="0:18", width=width
    )
    assert shown == line


@given(width=st.integers(1, 200), arms=st.lists(st.text("mtp 1.x", min_size=1), max_size=6), done=st.integers(0, 9999))
def test_count_and_time_left_stay_at_any_width(width: int, arms: list[str], done: int) -> None:
    words = {"label": "p mtp", "results": arms, "elapsed": "0:01", "left": "9:59"}
    line = progress_line(done, 9999, "generations", width=width, **words)
    assert len(line) <= max(width, len("9999/9999 · 9:59 left"))
    assert f"{done}/9999" in line
    assert line.endswith("9:59 left")


def test_before_there_is_a_pace_no_time_left_is_shown() -> None:
    assert progress_line(0, 4, "generations", label="loading", width=60) == f"loading · {'╌' * 16} · 0/4 generations"
    assert progress_line(0, 0, "steps").endswith("0/0 steps")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_terminals_line_is_never_cut(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with RunProgress(84, console) as progress:
        progress.show("code-012 dflash")
        progress.note(BOTH)
        progress.advance(42)
        progress.show("code-012 mtp")
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "mtp 1.71x · dflash 1.43x so far" in drawn
    assert "42/84" in drawn
    assert "…" not in drawn



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
