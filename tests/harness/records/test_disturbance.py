"""Stops, jumps and other processes are seen between two readings; an idle machine and a waiting process are not."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.disturbance import Reading, between, is_busy, lost_share, note, read, stops_counted, taint_of
from harness.records.rounds import Generation, Round

START = Reading(100.0, 1e9, 5.0, 0, 50.0, 1.0, 80.0, 1000.0, 0.0, 0.0, 3.0)


def after(wall: float = 2.0, threads: int = 1, **grown: Any) -> dict[str, Any]:
    """The change between two readings `wall` seconds apart; values not named in `grown` stand still."""
    moved = {"at": wall, "wall_clock": wall, "present_s": 2 * wall, **grown}
    later = {name: getattr(START, name) + by for name, by in moved.items()}
    return between(START, replace(START, **later), threads)


@pytest.mark.parametrize(
    ("seen", "taint"),
    [
        (after(cpu_s=2.0, waited_s=0.01, busy_s=2.04), ""),  # idle, one thread
        (after(cpu_s=3.9, waited_s=0.05, busy_s=4.0, threads=2), ""),  # idle, two
        (after(cpu_s=0.1, waited_s=0.02, busy_s=0.2), ""),  # waiting for a GPU
        (after(cpu_s=0.1, waited_s=0.02, busy_s=3.9), ""),  # and while others compute: nothing lost
        (after(cpu_s=1.9, waited_s=5.0, busy_s=1.95, threads=8), ""),  # own threads in each other's way
        (after(cpu_s=1.3, waited_s=0.7, busy_s=3.9), "busy"),  # beside two loops on two CPUs
        (after(cpu_s=2.0, waited_s=2.0, busy_s=4.0, threads=2), "busy"),
        (after(cpu_s=2.0, busy_s=2.1, stolen_s=1.0), "busy"),
        (after(cpu_s=1.0, busy_s=1.0, throttled_s=1.0), "busy"),
        (after(wall=0.1, cpu_s=0.08, waited_s=0.02, busy_s=0.12), ""),  # 20 ms of a service are no busy machine
        (after(stops=1, cpu_s=1.3, waited_s=0.7, busy_s=3.9), "stopped"),
        (after(slept_s=60.0, wall_clock=62.0), "stopped"),
        (after(wall_clock=2.0 + 3600), "clock_jump"),
        (after(wall_clock=2.0 - 1.5), "clock_jump"),
        (after(wall=100.0, wall_clock=100.05), ""),  # slewed
    ],
)
def test_the_taint_of_a_generation(seen: dict[str, Any], taint: str) -> None:
    assert taint_of(seen) == taint


def test_full_cpus_and_missing_seconds_stand_in_for_counts_of_waiting() -> None:
    blind = replace(START, waited_s=None)

    def seen(cpu_s: float, busy_s: float, threads: int) -> dict[str, Any]:
        later = replace(
            *(blind,), at=102.0, wall_clock=1e9 + 2, cpu_s=50 + cpu_s, busy_s=80 + busy_s, present_s=1004.0
        )
        return between(blind, later, threads)

    assert is_busy(seen(1.3, 4.0, 1))
    assert is_busy(seen(2.0, 4.0, 2))
    assert not is_busy(seen(2.0, 4.0, 1))  # one thread that never lacked its CPU
    assert not is_busy(seen(2.0, 2.1, 2))  # a second thread without work
    assert not is_busy(seen(4.0, 4.0, 2))


def test_unreadable_values_are_left_out_and_prove_nothing() -> None:
    seen = between(Reading(1.0, 1e9), Reading(3.0, 1e9 + 2))
    assert seen == {"wall_s": 2.0, "jumped_s": 0.0, "threads": 1, "stops": 0}
    assert (taint_of(seen), lost_share(seen), is_busy(seen)) == ("", 0.0, False)
    # In some containers the counters stand still: then nothing is known of other processes.
    frozen = after(present_s=0.0, cpu_s=1.0, waited_s=1.0)
    assert "others_s" not in frozen
    assert taint_of(frozen) == ""


def test_a_reading_of_this_machine_moves_on(tmp_path: Path) -> None:
    first = read([os.getpid()])
    sum(range(300_000))
    second = read([os.getpid()])
    assert second.cpu_s is not None and first.cpu_s is not None and second.cpu_s > first.cpu_s
    assert second.at > first.at
    elsewhere = read([os.getpid()], root=tmp_path)
    assert (elsewhere.waited_s, elsewhere.throttled_s, elsewhere.pressure_s) == (None, None, None)
    assert read(None).cpu_s is None


def test_files_of_the_kernel_are_read_in_their_own_units(tmp_path: Path) -> None:
    for thread, line in enumerate(("4000000000 1500000000 9", "0 500000000 1", "torn")):
        folder = tmp_path / "proc/7/task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(line)
    for name, text in {
        "proc/pressure/cpu": "some avg10=0.00 avg60=1.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=7\n",
        "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 4\nthrottled_time 3000000000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    found = read([7], root=tmp_path)
    assert (found.waited_s, found.pressure_s) == (2.0, 2.5)
    assert found.throttled_s == pytest.approx(3.0)
    (tmp_path / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 5\nthrottled_usec 250000\n")
    assert read([7], root=tmp_path).throttled_s == pytest.approx(0.25)


def test_a_continued_process_knows_that_it_was_stopped() -> None:
    before = read(None)
    with stops_counted():
        os.kill(os.getpid(), signal.SIGCONT)
        assert read(None).stops == before.stops + 1
    assert signal.getsignal(signal.SIGCONT) == signal.SIG_DFL


def test_stops_are_not_counted_outside_the_main_thread() -> None:
    ended: list[int] = []

    def work() -> None:
        with stops_counted():
            ended.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [1]


def test_the_record_holds_the_strongest_taint() -> None:
    def noted(seen: dict[str, Any], taint: str = "", longest: float = 0.01) -> Generation:
        rounds = [Round(i, i, 0, 0, 1, 0.0, 0.01, None) for i in range(10)]
        made = Generation([1] * 12, "eos", [*rounds, Round(10, 10, 0, 0, 1, 0.0, longest, 0.0)], taint=taint)
        note([made], seen)
        return made

    quiet, busy = after(cpu_s=2.0), after(cpu_s=1.3, waited_s=0.7, busy_s=3.9)
    assert noted(quiet).taint == ""
    assert noted(quiet).machine == quiet
    assert noted(quiet, longest=12.0).taint == "stalled"
    assert noted(busy, longest=12.0).taint == "stalled"
    assert noted(busy, taint="buffered").taint == "buffered"
    assert noted(busy).taint == "busy"
    assert noted(after(stops=1), taint="buffered", longest=12.0).taint == "stopped"
