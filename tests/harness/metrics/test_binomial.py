"""The exact tests agree with scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.metrics.binomial import at_least, at_most, shares_differ


@pytest.mark.parametrize(("successes", "trials", "rate"), [(0, 66, 0.1), (3, 40, 0.1), (39, 40, 0.99), (40, 40, 0.99)])
def test_tails(successes: int, trials: int, rate: float) -> None:
    assert at_most(successes, trials, rate) == pytest.approx(stats.binom.cdf(successes, trials, rate))
    assert at_least(successes, trials, rate) == pytest.approx(stats.binom.sf(successes - 1, trials, rate))


def test_small_probabilities_of_many_trials_stay_exact() -> None:
    assert at_least(100_000, 100_000, 0.999) == pytest.approx(0.999**100_000)
    assert at_most(0, 0, 0.5) == 1.0
    assert at_most(-1, 5, 0.5) == 0.0


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_rate_outside_0_and_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        at_most(1, 5, rate)


@pytest.mark.parametrize("table", [(7, 98, 0, 98), (11, 98, 0, 98), (5, 5, 0, 5), (3, 10, 3, 10), (0, 4, 0, 9)])
def test_two_shares(table: tuple[int, int, int, int]) -> None:
    first, of_first, second, of_second = table
    exact = stats.fisher_exact([[first, of_first - first], [second, of_second - second]])[1]
    assert shares_differ(*table) == pytest.approx(exact)


def test_nothing_differs_from_nothing() -> None:
    assert shares_differ(0, 0, 3, 9) == 1.0
