"""Batches hold conversations of one length, and seeds belong to prompts, not to batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.comparison.schedule import groups_of
from harness.tasks.prompts import Prompt


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
