"""Batches hold conversations of one length, seeds belong to prompts, not to batches, and the order of arms is fair."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparison.schedule import Share, arm_order, groups_of
from harness.tasks.prompts import Prompt
from tests.helpers.lines import whole


def prompts_with(turns: list[int]) -> list[Prompt]:
    return [Prompt(f"p{index}", "c", ("x",) * count) for index, count in enumerate(turns)]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=20), st.integers(1, 6))
def test_every_prompt_is_in_one_group_with_its_like(turns: list[int], size: int) -> None:
    groups = groups_of(prompts_with(turns), size)
    together = [prompt for group in groups for prompt in group.prompts]
    assert sorted(prompt.prompt_id for prompt in together) == sorted(p.prompt_id for p in prompts_with(turns))
    for group in groups:
        assert 1 <= len(group.prompts) <= size
        assert {len(prompt.turns) for prompt in group.prompts} == {group.turns}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=20), st.integers(1, 6), st.integers(0, 2))
def test_a_prompt_draws_the_same_whatever_the_batch_size(turns: list[int], size: int, repeat: int) -> None:
    def seeds(batch_size: int) -> dict[str, int]:
        return {
            prompt.prompt_id: group.seed(5, repeat) + row
            for group in groups_of(prompts_with(turns), batch_size)
            for row, prompt in enumerate(group.prompts)
        }

    assert seeds(size) == seeds(1)
    assert len(set(seeds(1).values())) == len(turns), "no two prompts share random numbers"


def test_repeats_draw_anew() -> None:
    [group] = groups_of(prompts_with([1]), 1)
    assert group.seed(0, 0) != group.seed(0, 1)


def test_a_seed_is_the_first_62_bits_of_its_hash() -> None:
    # The value is kept: a continued run draws what the run it continues would have drawn.
    first, second = groups_of(prompts_with([1, 1]), 1)
    assert first.seed(5, 1) == 3330077586425160394
    assert second.seed(5, 1) == first.seed(5, 1) + 1


def test_shares_take_turns_and_leave_no_group() -> None:
    groups = groups_of(prompts_with([1] * 5), 1)
    assert Share(0, 2).of(groups) == groups[0::2]
    assert Share(1, 2).of(groups) == groups[1::2]


def orders(arms: str, prompts: range, repeat: int = 0) -> list[str]:
    return ["".join(arm_order(arms, index, repeat)) for index in prompts]


@given(st.integers(2, 6), st.integers(0, 50), st.integers(0, 5))
def test_a_cycle_of_prompts_puts_every_arm_in_every_place_and_after_every_other(
    count: int, start: int, repeat: int
) -> None:
    arms = "ABCDEF"[:count]
    cycle = 2 * count
    seen = orders(arms, range(start * cycle, (start + 1) * cycle), repeat)
    for place in range(count):
        assert set(Counter(order[place] for order in seen).values()) == {2}
    followers = Counter(pair for order in seen for pair in pairwise(order))
    assert len(followers) == count * (count - 1)
    assert set(followers.values()) == {2}


@given(st.integers(2, 6), st.integers(0, 500))
def test_the_repeats_of_one_prompt_are_balanced_too(count: int, index: int) -> None:
    arms = "ABCDEF"[:count]
    seen = ["".join(arm_order(arms, index, repeat)) for repeat in range(2 * count)]
    for place in range(count):
        assert set(Counter(order[place] for order in seen).values()) == {2}


@pytest.mark.parametrize("period", [2, 3, 4, 6, 8, 12, 16])
def test_categories_that_take_turns_still_see_every_arm_first(period: int) -> None:
    for category in range(period):
        first = Counter(order[0] for order in orders("ABC", range(category, 36 * period, period)))
        assert min(first[arm] for arm in "ABC") >= 36 / 3 / 2


def test_the_orders_are_those_that_earlier_runs_had() -> None:
    """A resumed run must go on in the order that it began in."""
    assert orders("ABC", range(8)) == ["ABC", "CBA", "BCA", "ACB", "CAB", "BAC", "CBA", "BCA"]
    assert orders("ABC", range(2), repeat=1) == ["CBA", "BCA"]
    assert orders("ABCD", range(4)) == ["ABDC", "CDBA", "BCAD", "DACB"]


def test_two_arms_run_abba_and_one_arm_runs() -> None:
    assert orders("AB", range(4)) == ["AB", "BA", "BA", "AB"]
    assert arm_order(["baseline"], 5, 1) == ["baseline"]
    assert sorted(arm_order(["baseline", "mtp", "dflash"], 7, 0)) == ["baseline", "dflash", "mtp"]


def test_negative_indices_are_refused() -> None:
    for index, repeat in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match=whole(f"prompt_index={index}, repeat={repeat}: expected 0 or more")):
            arm_order("AB", index, repeat)
