"""The race that chooses a thread count: the fastest wins, the smallest of equals, and slow ones are left early."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.decoding.thread_race import ALIKE, Part, choose, counts_up_to, passes_of, race, thread_count_kept
from harness.target.target import Target
from tests.helpers import tiny_models as tiny


class Machine:
    """Parts of work whose seconds depend on the count that is set: seconds by count, for each part."""

    def __init__(self, *parts: dict[int, float]) -> None:
        self.count, self.ran = 0, list[tuple[int, int]]()
        self.parts: list[Part] = [self.part(number, seconds) for number, seconds in enumerate(parts)]

    def use(self, count: int) -> None:
        self.count = count

    def part(self, number: int, seconds: dict[int, float]) -> Callable[[], float]:
        def run() -> float:
            self.ran.append((number, self.count))
            return seconds[self.count]

        return run


@pytest.mark.parametrize(
    ("most", "counts"),
    [(1, [1]), (2, [2, 1]), (4, [4, 3, 2, 1]), (6, [6, 5, 4, 2, 1]), (64, [64, 63, 32, 16, 8, 4, 2, 1])],
)
def test_counts_worth_trying(most: int, counts: list[int]) -> None:
    assert counts_up_to(most) == counts


def test_the_fastest_count_wins_and_stays_set() -> None:
    machine = Machine({4: 1.0, 3: 1.3, 2: 1.4, 1: 2.0})
    assert race([4, 3, 2, 1], machine.parts, use=machine.use).count == 4
    assert machine.count == 4


def test_beside_a_busy_process_one_thread_wins_and_two_are_tried_once() -> None:
    one_row, sixteen_rows = {2: 0.080, 1: 0.006}, {2: 1.000, 1: 0.009}
    machine = Machine(one_row, sixteen_rows)
    found = race([2, 1], machine.parts, use=machine.use)
    assert found.count == 1
    assert machine.ran.count((0, 2)) == 1, "80 ms are enough to know"
    assert (1, 2) not in machine.ran, "a second is not spent on a count that has lost"
    assert found.seconds[2] / found.seconds[1] == pytest.approx(0.080 / 0.006)


def test_fewer_threads_than_are_too_slow_are_not_tried() -> None:
    machine = Machine({8: 1.0, 4: 1.9})
    assert race([8, 4, 2, 1], machine.parts, use=machine.use).count == 8


def test_no_part_decides_by_its_length_alone() -> None:
    short, long = {2: 0.001, 1: 0.0013}, {2: 0.100, 1: 0.090}
    machine = Machine(short, long)
    assert race([2, 1], machine.parts, use=machine.use).count == 2, "1.3 times outweighs 0.9 times"


def test_one_burst_does_not_decide() -> None:
    readings = {2: iter([1.4, 1.0]), 1: iter([1.2, 1.2])}
    machine = Machine()
    assert race([2, 1], [lambda: next(readings[machine.count])], use=machine.use).count == 2


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-4, 10.0), min_size=1))
def test_the_choice_is_as_fast_as_the_fastest_and_none_that_is_has_fewer_threads(seconds: dict[int, float]) -> None:
    least = min(seconds.values())
    chosen = choose(seconds)
    assert seconds[chosen] <= (1 + ALIKE) * least
    assert all(each > (1 + ALIKE) * least for count, each in seconds.items() if count < chosen)


def test_a_count_in_use_is_left_for_a_clearly_faster_one_only() -> None:
    assert choose({2: 1.0, 1: 0.95}, current=2) == 2
    assert choose({2: 1.0, 1: 0.80}, current=2) == 1
    assert choose({2: 0.95, 1: 1.0}, current=1) == 1


def test_passes_are_timed_in_every_width_and_row() -> None:
    target = Target(tiny.target_model())
    parts = passes_of(target, 2, [5, 1, 5])
    assert len(parts) == 2
    assert all(0 < part() < 10 for part in parts)


def test_a_run_leaves_the_thread_count_as_it_was() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError), thread_count_kept():
        torch.set_num_threads(before + 1)
        raise ValueError
    assert torch.get_num_threads() == before
