"""Measured costs are drawn as curves: one k that was timed in a bad moment does not bend the curve of speedups."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.cost_curve import line, rising, smoothed
from harness.records.costs import ArmCosts, CostTable, RoundCost

values = st.lists(st.floats(0.1, 100.0), min_size=1, max_size=20)


def table(step_ms: float = 0.5, ks: range = range(1, 9)) -> CostTable:
    """A chain of drafts at `step_ms` each, a block at 2 ms, verification at 5 ms and 0.1 ms per row."""
    chain = tuple(RoundCost(k, 0.2 + step_ms * k, 5.1 + 0.1 * k, 0.01, 0.01, 12) for k in ks)
    block = tuple(RoundCost(k, 2.0, 5.1 + 0.1 * k, 0.01, 0.01, 12) for k in ks)
    return CostTable(60, 1, "eager", 5.1, 1.0, {"mtp": ArmCosts(False, chain), "dflash": ArmCosts(True, block)})


def test_costs_that_lie_on_curves_stay() -> None:
    measured, drawn = table(), smoothed(table())
    for name, arm in measured.arms.items():
        for one, other in zip(arm.rounds, drawn.arms[name].rounds, strict=True):
            assert (other.draft_ms, other.verify_ms) == pytest.approx((one.draft_ms, one.verify_ms))
            assert (other.k, other.passes, other.draft_error) == (one.k, one.passes, pytest.approx(0.01))
    assert drawn.decode_ms == pytest.approx(measured.decode_ms)


@pytest.mark.parametrize("arm", ["mtp", "dflash"])
def test_one_k_timed_in_a_bad_moment_is_corrected_by_its_neighbours(arm: str) -> None:
    measured = table()
    rounds = list(measured.arms[arm].rounds)
    rounds[4] = replace(rounds[4], draft_ms=2 * rounds[4].draft_ms, verify_ms=2 * rounds[4].verify_ms)
    drawn = smoothed(replace(measured, arms={**measured.arms, arm: replace(measured.arms[arm], rounds=tuple(rounds))}))
    right = measured.arms[arm].rounds[4]
    assert drawn.arms[arm].rounds[4].draft_ms == pytest.approx(right.draft_ms, rel=0.05)
    assert drawn.arms[arm].rounds[4].verify_ms == pytest.approx(right.verify_ms, rel=0.25)


def test_arms_share_the_cost_of_one_width() -> None:
    measured = table()
    slower = tuple(replace(one, verify_ms=one.verify_ms + 1) for one in measured.arms["mtp"].rounds)
    drawn = smoothed(replace(measured, arms={**measured.arms, "mtp": ArmCosts(False, slower)}))
    for ours, theirs in zip(drawn.arms["mtp"].rounds, drawn.arms["dflash"].rounds, strict=True):
        assert ours.verify_ms == theirs.verify_ms
    assert drawn.arms["mtp"].rounds[3].verify_error > 0.01, "costs that differ at one width are less certain"


def test_few_costs_stay_as_they_are() -> None:
    few = table(ks=range(3, 5))
    assert smoothed(few).arms["mtp"].rounds == few.arms["mtp"].rounds
    assert smoothed(CostTable(60, 1, "eager", 5.0, 1.0, {})).decode_ms == 5.0


def test_drafts_that_cost_less_at_a_larger_k_are_no_chain() -> None:
    drawn, error = line([(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0), (5, 0.5)])
    assert list(drawn.values()) == sorted(drawn.values()) and error > 0


@given(values)
def test_a_rising_curve_never_falls_nor_leaves_what_was_measured(measured: list[float]) -> None:
    drawn, error = rising(list(enumerate(measured)))
    curve = list(drawn.values())
    if len(measured) >= 4:
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(curve))
    assert min(measured) - 1e-9 <= min(curve) and max(curve) <= max(measured) + 1e-9
    assert error >= 0


@given(values.map(sorted))
def test_a_rising_curve_of_rising_values_is_those_values(measured: list[float]) -> None:
    drawn, error = rising(list(enumerate(measured)))
    assert np.allclose(list(drawn.values()), measured) and error == pytest.approx(0, abs=1e-9)
