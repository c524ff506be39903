"""Acceptance from anchors: rounds that visit them, shares per position, intervals over prompts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.anchors.outcomes import (
    Anchors,
    clustered_error,
    conditional,
    difference,
    mean,
    unconditional,
    visited,
    wilson,
)

K = 4


def anchors_of(answers: list[list[int]], k: int = K, prompts: list[int] | None = None) -> Anchors:
    """Every place of answers whose drafts would stand so often, were there no end."""
    rows = []
    for number, runs in enumerate(answers):
        for place, run in enumerate(runs):
            known = min(k, len(runs) - place)
            rows.append((prompts[number] if prompts else number, number, place, known, min(run, known)))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return Anchors(k, *columns, np.zeros((len(rows), k)))


runs = st.lists(st.integers(0, K), min_size=1, max_size=12)


@given(st.lists(runs, min_size=1, max_size=5))
def test_the_visited_anchors_are_those_of_rounds_walked_by_hand(answers: list[list[int]]) -> None:
    anchors = anchors_of(answers)
    mine = set(zip(anchors.answer[(at := visited(anchors))].tolist(), anchors.place[at].tolist(), strict=True))
    by_hand = set()
    for number, one in enumerate(answers):
        place = 0
        while place < len(one):
            by_hand.add((number, place))
            place += min(one[place], len(one) - place, K) + 1
    assert mine == by_hand


@given(st.lists(runs, min_size=1, max_size=5), st.randoms())
def test_the_order_of_anchors_does_not_matter(answers: list[list[int]], random: object) -> None:
    anchors = anchors_of(answers)
    order = np.random.default_rng(random.randrange(2**32)).permutation(len(anchors))  # type: ignore[attr-defined]
    columns = (anchors.prompt, anchors.answer, anchors.place, anchors.known, anchors.stood, anchors.best)
    shuffled = Anchors(K, *(column[order] for column in columns))
    assert np.array_equal(visited(shuffled), visited(anchors)[order])


@given(st.lists(runs, min_size=1, max_size=5))
def test_unconditional_shares_are_running_products_of_the_conditional_ones_where_all_is_known(
    answers: list[list[int]],
) -> None:
    anchors = anchors_of(answers)
    whole = anchors.where(anchors.known == K)
    product = 1.0
    for both in zip(unconditional(whole), conditional(whole), strict=True):
        if both[1].value is None:
            return
        product *= both[1].value
        assert both[0].value == pytest.approx(product)


@given(st.lists(runs, min_size=1, max_size=5))
def test_shares_lie_within_their_intervals(answers: list[list[int]]) -> None:
    for one in [*unconditional(anchors_of(answers)), *conditional(anchors_of(answers))]:
        if one.value is not None:
            assert one.low is not None and one.high is not None
            assert 0 <= one.low <= one.value + 1e-12 and one.value - 1e-12 <= one.high <= 1


def test_drafts_beyond_the_end_of_an_answer_count_neither_way() -> None:
    anchors = anchors_of([[4, 4]])  # two places, of which the second knows one draft alone
    assert [one.count for one in unconditional(anchors)] == [2, 1, 0, 0]
    assert [one.value for one in unconditional(anchors)] == [1.0, 1.0, None, None]


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_with_one_value_a_cluster_the_error_is_that_of_a_mean(values: list[float]) -> None:
    error = clustered_error(np.array(values), np.arange(len(values)))
    assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-9)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=10), st.integers(2, 6))
def test_repeating_every_value_of_a_prompt_makes_the_error_no_smaller(values: list[float], times: int) -> None:
    once = clustered_error(np.array(values), np.arange(len(values)))
    again = clustered_error(np.repeat(values, times), np.repeat(np.arange(len(values)), times))
    assert again == pytest.approx(once, abs=1e-9)


def test_a_single_prompt_has_no_error_and_fewer_than_five_no_interval() -> None:
    assert mean(np.ones(9), np.zeros(9, dtype=np.int64)).error is None
    four = mean(np.arange(8.0), np.arange(8) // 2)
    assert four.error is not None and four.low is None


@given(st.floats(0, 1), st.integers(1, 500))
def test_wilson_holds_the_share_and_narrows_with_more_trials(share: float, trials: int) -> None:
    low, high = wilson(share, trials)
    more = wilson(share, 4 * trials)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    assert more[1] - more[0] < high - low + 1e-12


def test_a_difference_is_paired_and_wider_for_more_comparisons() -> None:
    rng = np.random.default_rng(0)
    answers = [rng.integers(0, K, 12).tolist() for _ in range(8)]
    theirs = anchors_of(answers)
    ours = Anchors(K, *(getattr(theirs, name) for name in ("prompt", "answer", "place", "known")),
                   np.minimum(theirs.stood + 1, theirs.known), theirs.best)  # fmt: skip
    one, many = difference(ours, theirs), difference(ours, theirs, comparisons=20)
    assert one.value == many.value == pytest.approx(float((ours.stood - theirs.stood).mean()))
    assert one.low and many.low and many.low < one.low


def test_a_difference_of_other_anchors_is_refused() -> None:
    with pytest.raises(ValueError, match="same anchors"):
        difference(anchors_of([[1, 2]]), anchors_of([[1, 2, 3]]))
