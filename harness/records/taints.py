"""Which times are in doubt: arrivals that cannot be decode times, and rounds that stand out.

Pure functions over seconds; `harness.records.disturbance` reads the machine itself.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

#: No target decodes a step faster: one GB of weights at 8 TB/s takes longer, and so does a Python loop's turn.
FASTEST_STEP_S = 1e-4
#: More of the steps than this with the first token, and the decode time is too short by as much.
MISSING_SHARE = 0.05
#: With fewer gaps a burst after a slow network packet may be chance.
LEAST_GAPS = 8
#: A stall adds at least this to its round, and makes it this many times the median round.
STALL_S = 1.0
STALL_TIMES = 20.0


def of_arrivals(at: Sequence[float]) -> str:
    """The taint of one generation whose steps arrived at `at` [steps, seconds in order]; "" where there is none.

    `buffered`: all steps together took less time than any target decodes in, half of them arrived closer to the one
    before than that, or so many came with the first token that their decode time is missing from the rest.
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
    """`stalled` where one of the rounds [seconds] is far longer than the typical one; "" otherwise."""
    if len(seconds) < LEAST_GAPS:
        return ""
    typical, longest = statistics.median(seconds), max(seconds)
    return "stalled" if longest > typical + STALL_S and longest > typical * STALL_TIMES else ""
