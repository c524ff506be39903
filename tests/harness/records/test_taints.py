"""Times that cannot be decode times, or stand out, are marked; ordinary ones are not."""

from __future__ import annotations

import itertools

import pytest

from harness.records.taints import of_arrivals, of_rounds


def at(*gaps: float) -> list[float]:
    return [0.05, *(0.05 + total for total in itertools.accumulate(gaps))]


@pytest.mark.parametrize(
    ("gaps", "taint"),
    [
        ([5e-6] * 63, "buffered"),  # a proxy that hands over the whole stream at once
        ([5e-6, 5e-6, 5e-6, 0.02] * 8, "buffered"),  # and one that flushes every four steps
        ([0.005, 5e-6] * 4 + [0.005], ""),  # two steps in one packet now and then
        ([2e-4] * 63, ""),  # the fastest that can be true
        ([5e-6] * 2, "buffered"),  # however short the answer
        ([5e-6] * 8 + [0.02] * 24, "buffered"),  # flushed once and then step by step: a quarter of the time is missing
        ([5e-6] + [0.02] * 30, ""),  # the second step with the first, of many
        ([0.01] * 20 + [12.0] + [0.01] * 20, "stalled"),
        ([], ""),
    ],
)
def test_arrivals(gaps: list[float], taint: str) -> None:
    assert of_arrivals(at(*gaps)) == taint


@pytest.mark.parametrize(
    ("seconds", "taint"),
    [
        ([0.01] * 20 + [1.05], "stalled"),
        ([0.01] * 20 + [0.9], ""),  # no full second
        ([0.5] * 20 + [9.0], ""),  # slow rounds vary by seconds
        ([0.01] * 6 + [12.0], ""),
        ([], ""),
    ],
)
def test_rounds(seconds: list[float], taint: str) -> None:
    assert of_rounds(seconds) == taint
