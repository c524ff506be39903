"""An engine's steps become rounds only where its counts and its tokens agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.engines.rounds import from_counters, rounds_of

WIDTH = 4
accepted_counts = st.lists(st.integers(0, WIDTH), min_size=1, max_size=12)


def cut(accepted: list[int], missing: int) -> list[int]:
    """Tokens that the steps emit when the answer ends `missing` tokens before the last step's own end."""
    emitted = [one + 1 for one in accepted]
    emitted[-1] = max(1, emitted[-1] - missing)
    return emitted


@given(accepted_counts, st.integers(0, WIDTH))
def test_each_step_is_a_round_that_begins_where_the_last_one_ended(accepted: list[int], missing: int) -> None:
    emitted = cut(accepted, missing)
    rounds = rounds_of(10, emitted, [WIDTH] * len(accepted), accepted)
    assert rounds is not None
    assert [one.accepted for one in rounds] == accepted
    assert [one.emitted for one in rounds] == emitted
    assert [one.position for one in rounds] == [10 + sum(emitted[:index]) for index in range(len(emitted))]
    assert all(one.draft_s is one.verify_s is one.other_s is None for one in rounds)


def test_steps_without_drafts_emit_one_token_each() -> None:
    rounds = rounds_of(3, [1, 4, 1], [3], [3])
    assert rounds is not None
    assert [(one.drafted, one.accepted, one.emitted) for one in rounds] == [(0, 0, 1), (3, 3, 4), (0, 0, 1)]


def test_counts_that_contradict_the_tokens_give_no_rounds() -> None:
    assert rounds_of(3, [2, 2], [4, 4], [1, 2]) is not None  # the last step may be cut
    assert rounds_of(3, [2, 2], [4, 4], [2, 1]) is None  # the one before may not
    assert rounds_of(3, [2], [4, 4], [1, 1]) is None  # more drafting steps than steps
    assert rounds_of(3, [2], [], []) is None  # two tokens from a step that drafted nothing


def counters(accepted: list[int]) -> dict[str, object]:
    return {
        "num_drafts": len(accepted),
        "num_draft_tokens": WIDTH * len(accepted),
        "num_accepted_tokens": sum(accepted),
        "num_accepted_tokens_per_pos": [sum(one > place for one in accepted) for place in range(WIDTH)],
    }


@given(accepted_counts, st.integers(0, WIDTH))
def test_the_counters_around_one_request_tell_what_its_last_step_accepted(accepted: list[int], missing: int) -> None:
    assert from_counters(cut(accepted, missing), counters(accepted)) == ([WIDTH] * len(accepted), accepted)


@given(accepted_counts)
def test_counters_of_somebody_elses_request_are_refused(accepted: list[int]) -> None:
    emitted = cut(accepted, 0)
    assert from_counters(emitted, counters([*accepted, 1])) is None
    assert from_counters([*emitted[:-1], emitted[-1] + 1], counters(accepted)) is None
    counted = counters(accepted)
    assert from_counters(emitted, counted | {"num_accepted_tokens_per_pos": [len(accepted) + 1] * WIDTH}) is None
    assert from_counters(emitted, {}) is None
