"""The interval covers the truth as often as stated."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics import statistics
from harness.metrics.statistics import (
    CONFIDENCE,
    MIN_PROMPTS,
    SEED,
    Estimate,
    paired_speedup,
    ratio_intervals,
)
from tests.helpers.lines import whole

times = st.floats(0.01, 100.0)


def noisy(seed: int, prompts: int, noise: float, speedup: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two arms over the same prompts of very different lengths, each measured with its own noise."""
    rng = np.random.default_rng(seed)
    work = rng.gamma(2.0, 1.0, prompts)
    return work * np.exp(rng.normal(0, noise, prompts)), work / speedup * np.exp(rng.normal(0, noise, prompts))


def compare(seed: int, prompts: int, noise: float, speedup: float = 1.0) -> str:
    other, arm = noisy(seed, prompts, noise, speedup)
    tokens = np.full(prompts, 100)
    result = paired_speedup(other, tokens, arm, tokens, resamples=1000)
    assert result is not None
    return result.words


def test_an_arm_compared_with_itself_is_not_distinguishable_in_18_of_20_runs() -> None:
    words = [compare(seed, prompts=48, noise=0.05) for seed in range(20)]
    assert words.count("not distinguishable") >= 18


@pytest.mark.parametrize("prompts", [8, 24, 48])
def test_the_interval_holds_the_truth_as_often_as_it_promises(prompts: int) -> None:
    words = Counter(compare(seed, prompts, noise=0.05) for seed in range(400))
    # 95 % of 400 is 380; five standard deviations of a fair count below it is 358.
    assert words["not distinguishable"] >= 358
    # An interval that always held 1 would be no use.
    assert words["not distinguishable"] < 400


def test_a_real_difference_is_found_and_has_a_direction() -> None:
    assert compare(0, prompts=24, noise=0.05, speedup=1.2) == "faster"
    assert compare(0, prompts=24, noise=0.05, speedup=1 / 1.2) == "slower"


def test_both_means_by_hand() -> None:
    other, arm, tokens = [4.0, 9.0], [2.0, 1.0], [10, 10]
    result = paired_speedup(other, tokens, arm, tokens)
    assert result is not None
    assert result.geometric_mean.value == pytest.approx(np.sqrt(2 * 9))
    assert result.token_weighted.value == pytest.approx(13 / 3)
    assert result.unequal_prompts == 0


def mean_and_error(other: np.ndarray, arm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of both ratios and their standard errors, from their definitions."""
    logs = np.log(other / arm)
    influence = other / other.mean() - arm / arm.mean()
    values = np.array([logs.mean(), np.log(other.sum() / arm.sum())])
    return values, np.sqrt([logs.var() / (len(logs) - 1), (influence**2).mean() / (len(logs) - 1)])


@pytest.mark.parametrize("confidence", [0.5, CONFIDENCE])
@pytest.mark.parametrize("prompts", [MIN_PROMPTS, 9])
def test_the_interval_is_that_of_its_definition_resample_by_resample(
    prompts: int, confidence: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, arm = noisy(4, prompts, 0.3, speedup=1.5)
    resamples = 101
    drawn = np.random.default_rng(SEED).integers(prompts, size=(resamples, prompts))
    (values, errors), t = mean_and_error(other, arm), np.full((resamples, 2), np.inf)
    for row, prompt in enumerate(drawn):
        if len(set(prompt)) > 1:
            again, spread = mean_and_error(other[prompt], arm[prompt])
            t[row] = np.abs(again - values) / spread
    reach = np.sort(t, axis=0)[int(np.ceil(confidence * (resamples - 1)))] * errors
    wanted = np.exp([values, values - reach, values + reach]).T
    for block in (statistics._BLOCK, 7 * prompts, 1):  # however many resamples are held at a time
        monkeypatch.setattr(statistics, "_BLOCK", block)
        found = ratio_intervals(other, arm, confidence=confidence, resamples=resamples, seed=SEED)
        np.testing.assert_allclose([(each.value, each.low, each.high) for each in found], wanted, rtol=1e-9)


def test_no_more_is_held_at_a_time_than_the_block_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.arange(10.0).reshape(5, 2)
    for block, sizes in ((1, [1] * 8), (16, [3, 3, 2]), (40, [8])):
        monkeypatch.setattr(statistics, "_BLOCK", block)
        assert [len(sums) for sums in statistics._resampled_sums(columns, 8, SEED)] == sizes


def test_a_resample_without_spread_counts_as_far_out() -> None:
    t = statistics._studentised(np.array([-4.0, 1e-9, 6.0]), np.array([16.0, 0.0, 36.0]), 5)
    assert t.tolist() == [2.0, np.inf, 2.0]
    assert statistics._studentised(np.array([1e-3, 1e-9]), np.array([4e-6, 4e-26]), 5).tolist() == [1.0, np.inf]
    assert statistics._studentised(np.full(3, 1e-8), np.array([4e-6, 4e-6, 4e-16]), 5).tolist() == [1e-5, 1e-5, 1.0]
    assert statistics._studentised(np.zeros(3), np.array([0.0, -1e-20, 0.0]), 5).tolist() == [np.inf] * 3


def test_the_reach_is_a_value_that_was_seen_and_unbounded_where_it_is_too_wide() -> None:
    t = np.array([1.0, 3.0, 2.0])
    assert statistics._interval(0.0, 1.0, t, 0.6) == Estimate(1.0, np.exp(-3.0), np.exp(3.0))
    assert statistics._interval(0.0, 1.0, np.full(3, 700.0), 0.6) == Estimate(1.0, np.exp(-700.0), np.exp(700.0))
    for reach in (700.5, 800.0, np.inf, np.nan):
        assert statistics._interval(0.0, 1.0, np.full(3, reach), 0.6) == Estimate(1.0, None, None)
    assert statistics._interval(1.0, 1e-13, t, 0.6) == Estimate(*[np.exp(1.0)] * 3)
    smallest = statistics._interval(0.0, 1e-12, t, 0.6)
    assert smallest.low is not None and smallest.low < 1.0


def test_unequal_counts_are_compared_per_token() -> None:
    # The arm wrote half the tokens in half the time: no speedup.
    result = paired_speedup([2.0, 2.0], [100, 100], [1.0, 1.0], [50, 50])
    assert result is not None
    assert result.geometric_mean.value == pytest.approx(1.0)
    assert result.token_weighted.value == pytest.approx(1.0)
    assert result.unequal_prompts == 2


@given(st.lists(st.tuples(times, times, st.integers(1, 500)), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_swapping_the_arms_inverts_everything(prompts: list[tuple[float, float, int]]) -> None:
    other, arm, tokens = (np.array(column) for column in zip(*prompts, strict=True))
    there = paired_speedup(other, tokens, arm, tokens, resamples=200)
    back = paired_speedup(arm, tokens, other, tokens, resamples=200)
    assert there is not None and back is not None
    for one, two in ((there.geometric_mean, back.geometric_mean), (there.token_weighted, back.token_weighted)):
        assert one.value * two.value == pytest.approx(1.0)
        if one.low is not None and one.high is not None:
            assert one.low <= one.value <= one.high
            assert two.low == pytest.approx(1 / one.high)


@given(st.lists(st.tuples(times, times), min_size=1, max_size=20), st.floats(0.1, 10.0))
@settings(max_examples=50, deadline=None)
def test_a_faster_clock_changes_nothing(prompts: list[tuple[float, float]], unit: float) -> None:
    other, arm = (np.array(column) for column in zip(*prompts, strict=True))
    tokens = np.full(len(other), 7)
    one = paired_speedup(other, tokens, arm, tokens, resamples=200)
    two = paired_speedup(other * unit, tokens, arm * unit, tokens, resamples=200)
    assert one is not None and two is not None
    assert two.geometric_mean.value == pytest.approx(one.geometric_mean.value)
    assert two.token_weighted.value == pytest.approx(one.token_weighted.value)


def test_the_same_seed_gives_the_same_interval() -> None:
    other, arm = noisy(3, 12, 0.1)
    tokens = np.full(12, 5)
    assert paired_speedup(other, tokens, arm, tokens) == paired_speedup(other, tokens, arm, tokens)
    assert paired_speedup(other, tokens, arm, tokens) != paired_speedup(other, tokens, arm, tokens, seed=1)


def test_identical_times_give_a_point_that_holds_one() -> None:
    seconds, tokens = np.linspace(1, 2, 10), np.full(10, 5)
    result = paired_speedup(seconds, tokens, seconds, tokens)
    assert result is not None
    assert (result.geometric_mean.low, result.geometric_mean.high) == (1.0, 1.0)
    assert result.words == "not distinguishable"


def test_few_prompts_have_no_interval_and_no_winner() -> None:
    few = MIN_PROMPTS - 1
    result = paired_speedup(np.full(few, 4.0), np.full(few, 9), np.full(few, 1.0), np.full(few, 9))
    assert result is not None
    assert result.geometric_mean == Estimate(pytest.approx(4.0), None, None)
    assert result.words == "not distinguishable"


def test_prompts_without_time_or_tokens_are_left_out() -> None:
    result = paired_speedup([0.0, 2.0, 2.0, np.nan, None], [9, 0, 9, 9, 9], [1.0] * 5, [9] * 5)
    assert result is not None
    assert (result.prompts, result.geometric_mean.value) == (1, 2.0)
    assert paired_speedup([0.0], [9], [1.0], [9]) is None


def test_arrays_of_different_lengths_are_refused() -> None:
    line = "expected four arrays of one length, got shapes [(2,), (2,), (1,), (1,)]"
    with pytest.raises(ValueError, match=whole(line)):
        paired_speedup([1.0, 2.0], [9, 9], [1.0], [9])
    with pytest.raises(ValueError, match=whole("expected four arrays of one length, got shapes [(), (), (), ()]")):
        paired_speedup(1.0, 9, 1.0, 9)


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan")])
def test_a_confidence_of_never_or_always_is_refused(confidence: float) -> None:
    line = f"confidence={confidence}: expected a number between 0 and 1"
    with pytest.raises(ValueError, match=whole(line)):
        paired_speedup([1.0], [9], [1.0], [9], confidence=confidence)
