"""Intervals under looking: their levels, the verdict words, and where a run stops."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.certainty.looks import (
    MOST_LOOKS,
    Schedule,
    block_size,
    half_width,
    look_points,
    looks_of,
    satisfied,
    verdict,
)
from harness.metrics.certainty.spending import look_levels
from harness.metrics.statistics import Estimate

growing = st.lists(st.integers(5, 400), min_size=1, max_size=12, unique=True).map(sorted)


def test_one_look_at_the_end_spends_the_whole_error() -> None:
    assert look_levels([40], 40, 0.05) == pytest.approx([0.05], abs=1e-6)


def test_five_equal_looks_have_the_published_bounds_of_linear_spending() -> None:
    bounds = [NormalDist().inv_cdf(1 - level / 2) for level in look_levels([1, 2, 3, 4, 5], 5, 0.05)]
    assert bounds == pytest.approx([2.576, 2.492, 2.411, 2.339, 2.276], abs=2e-3)


@given(growing, st.floats(0.01, 0.2))
def test_levels_lie_between_an_equal_share_of_the_error_and_all_of_it(looks: list[int], error: float) -> None:
    levels = look_levels(looks, looks[-1], error)
    spent = np.diff([0, *looks]) / looks[-1] * error
    assert all(share - 1e-6 <= level <= error + 1e-6 for share, level in zip(spent, levels, strict=True))


def test_paths_leave_the_bounds_as_often_as_the_error_says() -> None:
    looks = [14, 28, 56, 84]
    steps = np.random.default_rng(0).standard_normal((40_000, looks[-1])).cumsum(axis=1)
    z = np.abs(steps[:, np.array(looks) - 1]) / np.sqrt(looks)
    bounds = [NormalDist().inv_cdf(1 - level / 2) for level in look_levels(looks, looks[-1], 0.05)]
    assert (z > bounds).any(axis=1).mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(("looks", "most"), [([5, 5], 9), ([9, 5], 9), ([10], 9), ([0, 5], 9)])
def test_looks_that_do_not_grow_are_refused(looks: list[int], most: int) -> None:
    with pytest.raises(ValueError, match="expected looks that grow"):
        look_levels(looks, most, 0.05)


@given(st.floats(-2, 2), st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_verdict_reads_the_other_way_from_the_other_side(log: float, reach: float, margin: float) -> None:
    low, high = math.exp(log - reach), math.exp(log + reach)
    one = verdict(Estimate(math.exp(log), low, high), margin)
    other = verdict(Estimate(math.exp(-log), 1 / high, 1 / low), margin)
    edges = (0, math.log1p(margin), -math.log1p(margin))
    near = min(abs(math.log(end) - edge) for end in (low, high) for edge in edges)
    if near > 1e-9:
        assert other == {"faster": "slower", "slower": "faster"}.get(one, one)


@pytest.mark.parametrize(
    ("low", "high", "margin", "words"),
    [
        (1.2, 1.4, 0.03, "faster"),
        (0.7, 0.9, 0.03, "slower"),
        (0.98, 1.02, 0.03, "equal within the margin"),
        (1.005, 1.02, 0.03, "equal within the margin"),
        (0.98, 1.02, None, "undecided"),
        (0.9, 1.02, 0.03, "undecided"),
        (None, None, 0.03, "undecided"),
    ],
)
def test_the_verdict_has_four_words(low: float | None, high: float | None, margin: float | None, words: str) -> None:
    assert verdict(Estimate(1.0, low, high), margin) == words


@given(st.floats(0.1, 10), st.floats(0, 1))
def test_the_half_width_is_the_factor_either_way(value: float, reach: float) -> None:
    assert half_width(Estimate(value, value / (1 + reach), value * (1 + reach))) == pytest.approx(reach, abs=1e-9)


def test_both_rules_must_hold() -> None:
    wide, narrow = Estimate(2.0, 1.5, 2.6), Estimate(2.0, 1.95, 2.05)
    both = Schedule(("a",), (1,), half_width=0.05, margin=0.03)
    assert not satisfied([wide], both) and satisfied([narrow], both)
    assert not satisfied([], both)


@given(st.integers(5, 3000), st.integers(1, 40), st.integers(1, 64))
def test_a_run_looks_at_most_so_often_and_always_at_its_end(total: int, strata: int, batch: int) -> None:
    points = look_points(total, block_size(total, strata, batch), 5)
    assert len(points) <= MOST_LOOKS and points[-1] == total and list(points) == sorted(set(points))
    assert all(point % batch == 0 for point in points[:-1])


def generations(seconds: dict[str, list[float]]) -> pd.DataFrame:
    """Generations of ten tokens: `seconds` [prompts] of each arm."""
    lines = [
        {
            "prompt_id": f"p{i}",
            "arm": arm,
            "num_draft_tokens": int(arm == "mtp"),
            "decode_s": s,
            "token_ids": list(range(11)),
        }
        for arm, values in seconds.items()
        for i, s in enumerate(values)
    ]
    return pd.DataFrame(lines)


def test_a_run_stops_at_the_first_look_that_decides_and_ignores_what_lies_beyond() -> None:
    noise = np.exp(np.random.default_rng(1).normal(0, 0.05, 40))
    schedule = Schedule(tuple(f"p{i}" for i in range(40)), (10, 20, 30, 40), margin=0.03)
    table = generations({"baseline": list(2 * noise), "mtp": [1.0] * 40})
    stopped, looks = looks_of(table, schedule)
    assert stopped == {"reason": "decided", "prompts": 10, "looks": 1}
    assert looks[0].comparisons[0]["words"] == "faster"
    part = table[table["prompt_id"].isin([f"p{i}" for i in range(15)])]
    assert looks_of(part, schedule)[0] == stopped


def test_a_run_that_is_cut_off_between_looks_is_unfinished() -> None:
    rng = np.random.default_rng(2)
    schedule = Schedule(tuple(f"p{i}" for i in range(40)), (10, 20, 30, 40), half_width=0.001)
    table = generations({"baseline": list(rng.uniform(1, 2, 25)), "mtp": [1.0] * 25})
    assert looks_of(table, schedule)[0] == {"reason": "unfinished", "prompts": 20, "looks": 2}
    whole = generations({"baseline": list(rng.uniform(1, 2, 40)), "mtp": [1.0] * 40})
    assert looks_of(whole, schedule)[0] == {"reason": "max_prompts", "prompts": 40, "looks": 4}


def test_controls_decide_nothing() -> None:
    schedule = Schedule(tuple(f"p{i}" for i in range(10)), (10,), margin=0.03, controls=("mtp",))
    table = generations({"baseline": [2.0] * 10, "mtp": [1.0] * 10})
    assert looks_of(table, schedule)[1][0].comparisons == []


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 40))
def test_blocks_hold_every_category_in_proportion(categories: list[str], seen: int) -> None:
    from harness.tasks.prompts import Prompt, in_strata

    prompts = [Prompt(str(i), category, ("?",)) for i, category in enumerate(categories)]
    ordered = in_strata(prompts)
    assert sorted(map(repr, ordered)) == sorted(map(repr, prompts))
    first = [prompt.category for prompt in ordered[:seen]]
    for category in set(categories):
        expected = len(first) * categories.count(category) / len(categories)
        assert abs(first.count(category) - expected) <= len(set(categories))
