"""Pareto's frontier holds the points that no other beats, and only those."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.frontier import frontier

POINTS = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=12)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@given(POINTS)
def test_a_point_is_on_it_exactly_if_none_beats_it(points: list[tuple[float, float]]) -> None:
    found = frontier(points)
    assert {points[index] for index in found} == {one for one in points if not any(beats(o, one) for o in points)}
    assert len({points[index] for index in found}) == len(found), "of equal points one"


@given(POINTS)
def test_it_runs_from_the_largest_first_figure_to_the_largest_second(points: list[tuple[float, float]]) -> None:
    line = [points[index] for index in frontier(points)]
    assert line == sorted(line, key=lambda point: (-point[0], point[1]))


def test_nothing_has_no_frontier_and_no_number_is_refused() -> None:
    assert frontier([]) == []
    with pytest.raises(ValueError, match="not a number"):
        frontier([(1.0, 2.0), (math.nan, 1.0)])
