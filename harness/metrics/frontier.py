"""Pareto's frontier: the points that no other point beats."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other equals or exceeds in both figures, by the first figure from the largest on.

    More is better in both. Of equal points the first one stays. Raises ValueError for a figure that is no number.
    """
    if any(figure != figure for point in points for figure in point):
        raise ValueError("a point of the frontier is not a number")
    found: list[int] = []
    for index in sorted(range(len(points)), key=lambda one: (-points[one][0], -points[one][1], one)):
        if not found or points[index][1] > points[found[-1]][1]:
            found.append(index)
    return found
