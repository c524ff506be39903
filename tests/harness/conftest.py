"""What tests that go the whole way share: one tiny pair for all, and the command run in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny random target and its two drafters, by name. Tests that change one write their own pair."""
    from tests.helpers.checkpoint_folders import write_short_pair

    return write_short_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Gives the signals back that a command catches."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, own_signals: None) -> Iterator[Callable[..., int]]:
    """`python -m harness ARGUMENTS` in this process, as often as called; gives the exit code."""
    from harness import __main__ as entry
    from harness.launch import exit_codes

    def run(*arguments: str) -> int:
        exit_codes.forget()
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        return entry.main()

    yield run
    exit_codes.forget()


@pytest.fixture
def blank_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures, for tests of runs that look at none: drawing is half of a short run's time."""
    monkeypatch.setattr("harness.report.page.build.draw", lambda *_: {})
    monkeypatch.setattr("harness.report.leaderboard.page.leaderboard_charts", lambda *_: {})
    for page in ("page.build", "leaderboard.page"):
        monkeypatch.setattr(f"harness.report.{page}.draw_card", lambda *_: b"")
