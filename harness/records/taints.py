"""Doubts about times: arrivals that cannot be decode times, and rounds that stand out.

Pure functions over seconds; `harness.records.disturbance` looks at the machine itself.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

#: No target decodes a step faster: one GB of weights at 8 TB/s takes longer, and so does a Python loop's turn.
FASTEST_STEP_S = 1e-4
#: If more than this share of the steps arrive with the first token, the decode time is too short by as much.
MISSING_SHARE = 0.05
#: Among fewer gaps, a burst after a slow network packet may be chance.
LEAST_GAPS = 8
#: A stall makes its round at least this much longer than the median round, and this many times as long.
STALL_S = 1.0
STALL_TIMES = 20.0


def of_arrivals(at: Sequence[float]) -> str:
    """The taint of one generation whose steps arrived at `at` [steps], in seconds and in order; "" for none.

    `buffered` if the steps came faster than any target decodes: all of them together, or half of the gaps, or so many
    with the first token that their decode time is missing from the rest.
    """
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    with_first = sum(1 for _ in itertools.takewhile(lambda gap: gap < FASTEST_STEP_S, gaps))
    if gaps and (
        sum(gaps) < FASTEST_STEP_S * len(gaps)
        or with_first > MISSING_SHARE * len(gaps)
        or (len(gaps) >= LEAST_GAPS and statistics.median(gaps) < FASTEST_STEP_S)
    ):
        return "buffered"
    return of_rounds(gaps)


def of_rounds(seconds: Sequence[float]) -> str:
    """`stalled` if one of the rounds [rounds], in seconds, is far longer than the median; "" otherwise."""
    if len(seconds) < LEAST_GAPS:
        return ""
    typical, longest = statistics.median(seconds), max(seconds)
    return "stalled" if longest > typical + STALL_S and longest > typical * STALL_TIMES else ""
