"""The thread count of a run: who decides it, when it is looked at again, and that a turn's arms share it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from harness.comparison import threads as threads_module
from harness.comparison.run_identity import run_identity
from harness.comparison.threads import (
    ALONE,
    IN_STEP,
    PERIOD_S,
    SETTING,
    VARIABLE,
    Threads,
    engine_threads,
    settled_count,
)
from harness.config import RunConfig, read_config
from harness.decoding.thread_race import thread_count_kept

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of four CPUs whose OpenMP is not set."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(threads_module, "usable_cpus", lambda: 4)
    with thread_count_kept():
        yield


def configured(threads: Any = "auto", **target: Any) -> RunConfig:
    return read_config({"target": {"path": "none", "threads": threads, **target}, "dataset": {"path": "none"}})


def count_and_why(config: RunConfig) -> tuple[int, str] | None:
    choice = settled_count(config, CPU)
    return None if choice is None else (choice.count, choice.why)


def test_auto_leaves_the_count_to_the_probe() -> None:
    assert count_and_why(configured()) is None


def test_a_number_is_taken() -> None:
    assert count_and_why(configured(3)) == (3, SETTING)


@pytest.mark.parametrize("text", ["2", "2,1", " 2 "])
def test_openmp_wins_over_both(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert count_and_why(configured()) == count_and_why(configured(3)) == (2, VARIABLE)


def test_a_number_without_effect_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "2")
    settled_count(configured(3), CPU)
    assert "target.threads=3 has no effect: OMP_NUM_THREADS=2 is set" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "many", "0", "-1"])
def test_an_unreadable_openmp_count_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert count_and_why(configured()) is None


def test_ranks_in_step_take_their_share_and_probe_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert count_and_why(configured(tp_plan="auto")) == (2, IN_STEP)


def test_a_rank_with_one_cpu_has_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert count_and_why(configured()) == (1, ALONE)


def test_an_engine_gets_the_count_that_is_set_or_all_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (engine_threads(configured()), engine_threads(configured(3))) == (4, 3)
    monkeypatch.setenv(VARIABLE, "1")
    assert engine_threads(configured()) == 1


# -- looking again ---------------------------------------------------------------------------------------------------


def chosen(others: float | None) -> Threads:
    """A count that was just chosen while other processes used so many CPUs."""
    threads = Threads(configured(), CPU)
    threads.parts, threads.others = [lambda: 1.0], others
    return threads


@pytest.mark.parametrize(
    ("then", "now", "later_s", "due"),
    [
        (0.0, 0.1, 1.0, False),  # the services of an idle machine
        (0.0, 1.0, 1.0, True),  # a process began
        (1.3, 0.0, 1.0, True),  # it ended
        (1.3, 1.2, 1.0, False),
        (None, None, 1.0, False),  # CPUs that cannot be seen
        (None, None, PERIOD_S + 1, True),
    ],
)
def test_it_is_looked_at_again_where_the_load_changed(
    then: float | None, now: float | None, later_s: float, due: bool
) -> None:
    threads = chosen(then)
    assert threads.due(threads.at + later_s, now) == due


def test_looking_again_takes_a_twentieth_of_a_run_at_most() -> None:
    threads = chosen(0.0)
    threads.spent_s = 1.0
    assert not threads.due(threads.started + 19, 2.0)
    assert threads.due(threads.started + 21, 2.0)


def test_a_settled_count_is_never_looked_at_again() -> None:
    threads = Threads(configured(2), CPU)
    assert torch.get_num_threads() == 2
    assert not threads.probe([lambda: 1.0])
    assert not threads.due(threads.at + 1e6, 4.0)


def test_a_probe_that_fails_leaves_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> float:
        raise RuntimeError("no such kernel")

    threads = Threads(configured(), CPU)
    assert not threads.probe([broken])
    assert (threads.choice.count, torch.get_num_threads()) == (4, 4)
    assert "the thread count stays 4: RuntimeError: no such kernel" in capsys.readouterr().err


# -- identity --------------------------------------------------------------------------------------------------------


def identity_of(config: RunConfig) -> Any:
    hashes = ("rendered_sha256", "token_ids_sha256", "template_sha256")
    about = dict.fromkeys((*hashes, "thinking", "chat_template", "scoring"))
    return run_identity(config, {}, [], about, [])


def test_a_run_is_continued_at_whatever_count_was_chosen_but_not_at_another_set_one() -> None:
    assert "threads" not in identity_of(configured())["config"]
    assert identity_of(configured(1)) != identity_of(configured(2))
