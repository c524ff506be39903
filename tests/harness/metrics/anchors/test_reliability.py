"""Calibration of a drafter's confidence: bins, expected calibration error, Brier score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.anchors.outcomes import Anchors
from harness.metrics.anchors.reliability import brier_of_anchors, by_position, reliability

drafts = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(drafts)
def test_bins_hold_every_draft_and_the_error_lies_between_the_whole_gap_and_one(
    pairs: list[tuple[float, bool]],
) -> None:
    confidence, stood = np.array([p for p, _ in pairs]), np.array([s for _, s in pairs])
    found = reliability(confidence, stood)
    assert sum(one.count for one in found.bins) == len(pairs) == found.count
    assert found.error is not None and found.confidence is not None and found.stood is not None
    assert abs(found.confidence - found.stood) - 1e-9 <= found.error <= 1 + 1e-9


@given(drafts)
def test_a_constant_confidence_of_the_share_that_stood_has_the_base_brier_score(
    pairs: list[tuple[float, bool]],
) -> None:
    stood = np.array([s for _, s in pairs])
    found = reliability(np.full(len(pairs), stood.mean()), stood)
    assert found.brier == pytest.approx(found.base) and found.error == pytest.approx(0, abs=1e-9)


def test_certainty_that_is_right_scores_nothing_and_that_is_wrong_everything() -> None:
    right = reliability(np.array([1.0, 0.0]), np.array([True, False]))
    wrong = reliability(np.array([1.0, 0.0]), np.array([False, True]))
    assert (right.brier, right.error, wrong.brier, wrong.error) == (0, 0, 1, 1)


def test_positions_count_drafts_that_were_reached_alone() -> None:
    best = np.array([[0.9, 0.8], [0.6, 0.7], [0.5, 0.4]])
    columns = (np.array(column) for column in ([0, 0, 1], [0, 0, 1], [0, 1, 0], [2, 1, 2], [2, 1, 0]))
    anchors = Anchors(2, *columns, best)
    first, second, both = by_position(anchors)
    assert (first.count, second.count, both.count) == (3, 1, 4)
    assert second.confidence == pytest.approx(0.8) and second.stood == 1
    assert brier_of_anchors(anchors).sum() == pytest.approx((both.brier or 0) * both.count)


def test_nothing_has_no_figures_and_numbers_outside_are_refused() -> None:
    assert reliability(np.empty(0), np.empty(0, dtype=bool)).brier is None
    for wrong in (np.array([1.5]), np.array([np.nan])):
        with pytest.raises(ValueError, match="between 0 and 1"):
            reliability(wrong, np.array([True]))
    with pytest.raises(ValueError, match="one length"):
        reliability(np.array([0.5, 0.5]), np.array([True]))
