"""The two places where llama.cpp counts otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.engines.llama_cpp.counting import as_counted


def test_tokens_past_the_end_are_not_accepted() -> None:
    assert as_counted([(4, 2, 3), (4, 3, 2)], 99) == [(4, 2, 3), (4, 1, 2)]


def test_a_draft_near_the_limit_is_no_longer_than_what_can_be_emitted() -> None:
    assert as_counted([(4, 2, 3), (4, 4, 4)], 8) == [(4, 2, 3), (3, 3, 4)]
    assert as_counted([(4, 4, 5), (4, 0, 1)], 7) == [(4, 4, 5), (0, 0, 1)]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted), max_size=9), st.integers(0, 20))
def test_counting_twice_changes_nothing(made: list[list[int]], spare: int) -> None:
    rounds = [(drafted, accepted, accepted + 1) for accepted, drafted in made]
    limit = 1 + sum(emitted for *_, emitted in rounds) + spare
    once = as_counted(rounds, limit)
    assert as_counted(once, limit) == once
