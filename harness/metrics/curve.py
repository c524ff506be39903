"""The speedup at every k up to the run's own, from the acceptance of one run and its cost table.

Tokens per round come from the run's own rounds (`harness.metrics.walk`), or, where a smaller k would draft otherwise,
from blocks that were drafted again. Times are the run's own, scaled by the cost table: a prompt's decode time at k' is
its drafter's prefill, its time outside rounds, and so many rounds of draft(k') + verify(k'+1) + other. At the run's own
k every figure is the measured one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.metrics.cells import SECONDS, generation_index
from harness.metrics.cost_curve import smoothed
from harness.metrics.pairing import LABEL, PROMPT, prompt_times
from harness.metrics.statistics import CONFIDENCE, RESAMPLES, SEED, paired_speedup
from harness.metrics.walk import Answer, rounds_at
from harness.records.costs import CostTable, RoundCost
from harness.records.frames import with_defaults
from harness.vocabulary import ALL, BASELINE, OK

#: A generation and a k: prompt_id, turn, arm, repeat, k.
DraftedAgain = Mapping[tuple[str, int, str, int, int], int]
PREDICTED_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """One point of an arm's curve. `speedup` is the decode speedup over the run's baseline, with its interval where
    there are prompts enough; `measured` at the run's own k."""

    k: int
    category: str
    tokens_per_round: float
    speedup: float | None
    low: float | None
    high: float | None
    measured: bool


@dataclass(frozen=True, slots=True)
class ArmTimes:
    """An arm's generations with the parts of their decode times, one row each, and their rounds."""

    table: pd.DataFrame  # generations; rounds, first_s, draft_s, verify_s, other_s per round, outside_s
    answers: list[Answer]


def curves(
    rounds: pd.DataFrame,
    generations: pd.DataFrame,
    costs: CostTable | None,
    drafted_again: DraftedAgain | None = None,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, list[Point]]:
    """The curve of every drafting arm, by category (`all` first) and k.

    Arms that the cost table lacks, and all of them without a table, have the point of their own k alone.
    `drafted_again` counts the rounds of generations at smaller k, where they are known. Raises ValueError as
    `cells.per_generation`.
    """
    table = with_defaults(generations).reset_index(drop=True)
    owner = generation_index(rounds, table)
    found: dict[str, list[Point]] = {}
    base = table[table["arm"] == BASELINE]
    costs = None if costs is None else smoothed(costs)
    for arm in [name for name in dict.fromkeys(table["arm"]) if name != BASELINE]:
        places = np.flatnonzero((table["arm"] == arm) & (table["status"] == OK))
        parts = arm_times(table.loc[places], rounds, owner)
        if not len(parts.table):
            continue
        k = int(parts.table["num_draft_tokens"].max())
        priced = {at: cost for at in range(1, k + 1) if (cost := _cost(costs, arm, at)) is not None}
        ks = [*(at for at in priced if at < k), k] if k in priced else [k]
        needed = rounds_needed(parts, arm, ks, k, drafted_again or {}, seed)
        predicted = (_at(parts, at, k, needed[:, place], priced) for place, at in enumerate(ks))
        times = prompt_times(pd.concat([base, *predicted]))
        found[arm] = [
            point
            for place, at in enumerate(ks)
            for point in _points(
                parts, times, at, k, needed[:, place], priced, confidence, resamples if at == k else
                min(resamples, PREDICTED_RESAMPLES), seed,
            )
        ]  # fmt: skip
        categories = [ALL, *sorted({point.category for point in found[arm]} - {ALL})]
        found[arm].sort(key=lambda point: (categories.index(point.category), point.k))
    return found


def _cost(costs: CostTable | None, arm: str, k: int) -> RoundCost | None:
    return None if costs is None else costs.at(arm, k)


def arm_times(own: pd.DataFrame, rounds: pd.DataFrame, owner: NDArray[np.intp]) -> ArmTimes:
    """Split the decode times of one arm's finished generations that have rounds.

    A drafter reads the prompt in its first round: what that drafted longer than the others is `first_s`, once a
    generation, and the rest are means per round. `outside_s` is the decode time that falls in no round.
    """
    order = np.argsort(owner, kind="stable")
    begins = np.searchsorted(owner[order], own.index.to_numpy())
    ends = np.searchsorted(owner[order], own.index.to_numpy(), side="right")
    columns = {name: rounds[name].to_numpy() for name in ("drafted", "accepted", "emitted", *SECONDS[:3])}
    decode_s = own["decode_s"].to_dict()
    answers, lines, kept = [], [], []
    for index, begin, end in zip(own.index, begins, ends, strict=True):
        places = order[begin:end]
        if not len(places):
            continue
        draft, verify, other = (columns[name][places].astype(float) for name in SECONDS[:3])
        answers.append(Answer(*(columns[name][places].astype(np.int64) for name in ("drafted", "accepted", "emitted"))))
        later = float(draft[1:].mean()) if len(draft) > 1 else float(draft.mean())
        first = max(float(draft[0]) - later, 0.0) if len(draft) > 1 else 0.0
        within = float(draft.sum() + verify.sum() + other.sum())
        outside = decode_s[index] - within
        means = ((float(draft.sum()) - first) / len(draft), float(verify.mean()), float(other.mean()))
        lines.append((len(places), first, *means, outside))
        kept.append(index)
    names = ["rounds", "first_s", "draft_s", "verify_s", "other_s", "outside_s"]
    parts = pd.DataFrame(lines, columns=names, index=kept, dtype=float)
    return ArmTimes(own.loc[kept].drop(columns=names, errors="ignore").join(parts), answers)


def rounds_needed(
    parts: ArmTimes, arm: str, ks: Sequence[int], own: int, drafted_again: DraftedAgain, seed: int
) -> NDArray[np.float64]:
    """Rounds of every generation at each of `ks`, [generations, ks]."""
    needed = rounds_at(parts.answers, ks, seed=seed)
    for place, (prompt, turn, repeat) in enumerate(
        parts.table[["prompt_id", "turn", "repeat"]].itertuples(index=False)
    ):
        for column, k in enumerate(ks):
            counted = drafted_again.get((str(prompt), int(turn), arm, int(repeat), k))
            if counted is not None and k != own:
                needed[place, column] = counted
    return needed


def _at(
    parts: ArmTimes, k: int, own: int, needed: NDArray[np.float64], priced: Mapping[int, RoundCost]
) -> pd.DataFrame:
    """The arm's generations with the decode times that they have at `k`."""
    table = parts.table
    draft, verify = (1.0, 1.0) if k == own else ratios(priced[k], priced[own])
    per_round = table["draft_s"] * draft + table["verify_s"] * verify + table["other_s"]
    return table.assign(decode_s=table["outside_s"] + table["first_s"] + needed * per_round, num_draft_tokens=k)


def _points(
    parts: ArmTimes,
    times: pd.DataFrame,
    k: int,
    own: int,
    needed: NDArray[np.float64],
    priced: Mapping[int, RoundCost],
    confidence: float,
    resamples: int,
    seed: int,
) -> Iterable[Point]:
    """The points of one k, over all categories and in each, from the `prompt_times` of the baseline and of every k."""
    table = parts.table
    emitted = np.array([answer.tokens for answer in parts.answers])
    labels, drafted = (times.index.get_level_values(name) for name in LABEL)
    chosen_k = (labels != BASELINE) & (drafted == k)
    ours, theirs = (part.droplevel([*LABEL]) for part in (times[chosen_k], times[labels == BASELINE]))
    both = ours.index.intersection(theirs.index)
    (ours_s, tokens), (theirs_s, their_tokens) = _columns(ours.loc[both]), _columns(theirs.loc[both])
    share = 0.0 if k == own else error_of(table, *ratios(priced[k], priced[own]), priced, k, own)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * share
    of_prompt = both.get_level_values(PROMPT.index("category"))
    for category in [ALL, *sorted(table["category"].unique())]:
        mine = np.ones(len(table), dtype=bool) if category == ALL else (table["category"] == category).to_numpy()
        chosen = np.ones(len(both), dtype=bool) if category == ALL else of_prompt == category
        estimate = paired_speedup(
            theirs_s[chosen], their_tokens[chosen], ours_s[chosen], tokens[chosen],
            confidence=confidence, resamples=resamples, seed=seed,
        )  # fmt: skip
        value, low, high = None, None, None
        if estimate is not None:
            mean = estimate.geometric_mean
            value, low, high = mean.value, *widened(mean.value, mean.low, mean.high, reach)
        yield Point(k, category, float(emitted[mine].sum() / needed[mine].sum()), value, low, high, k == own)


def _columns(times: pd.DataFrame) -> tuple[Any, Any]:
    tokens = times["decode_tokens"].to_numpy()
    return times["decode_s_per_token"].to_numpy() * tokens, tokens


def ratios(there: RoundCost, here: RoundCost) -> tuple[float, float]:
    """How the draft and the verify time change from the round `here` to the round `there`."""
    return there.draft_ms / here.draft_ms if here.draft_ms > 0 else 1.0, there.verify_ms / here.verify_ms


def error_of(
    table: pd.DataFrame, draft: float, verify: float, priced: Mapping[int, RoundCost], k: int, own: int
) -> float:
    """The relative standard error of a predicted time that the cost table's own errors bring; 0 at the own k."""
    if k == own:
        return 0.0
    parts = [float(table["draft_s"].mean()) * draft, float(table["verify_s"].mean()) * verify]
    total = sum(parts) + float(table["other_s"].mean())
    there, here = priced[k], priced[own]
    errors = [
        math.hypot(there.draft_error, here.draft_error),
        math.hypot(there.verify_error, here.verify_error),
    ]
    return math.hypot(*(part / total * error for part, error in zip(parts, errors, strict=True))) if total > 0 else 0.0


def widened(value: float, low: float | None, high: float | None, reach: float) -> tuple[float | None, float | None]:
    """An interval of a ratio with an independent error of `reach` (half-width of the logarithm) added in squares."""
    if low is None or high is None:
        return None, None
    half = math.hypot(math.log(high / value), reach)
    return value * math.exp(-half), value * math.exp(half)


def best(points: Iterable[Point], category: str = ALL) -> Point | None:
    """The point of the highest speedup in `category`, the smaller k of two alike; None without any."""
    known = [point for point in points if point.category == category and point.speedup is not None]
    return max(known, key=lambda point: (point.speedup or 0.0, -point.k), default=None)


def crossings(one: Iterable[Point], other: Iterable[Point], category: str = ALL) -> list[tuple[int, int]]:
    """The neighbouring k between which the faster of two arms changes, among those that both curves hold."""
    ours, theirs = (
        {p.k: p.speedup for p in points if p.category == category and p.speedup is not None} for points in (one, other)
    )
    shared = sorted(ours.keys() & theirs.keys())
    ahead = [(k, ours[k] > theirs[k]) for k in shared if ours[k] != theirs[k]]
    return [(a, b) for (a, before), (b, after) in pairwise(ahead) if before != after]
