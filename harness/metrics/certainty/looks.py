"""The looks of a run that stops when it is decided: intervals after each block of prompts, and the verdict in words.

Everything follows from the generations and the schedule, so a continued run and a later summary find the same looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from harness.metrics.certainty.spending import look_levels
from harness.metrics.pairing import paired_speedups
from harness.metrics.statistics import CONFIDENCE, EQUAL, RESAMPLES, Estimate
from harness.vocabulary import ALL

Reason = Literal["decided", "max_prompts", "unfinished"]
#: More looks would leave too little error for each, and too few resamples beyond its bound.
MOST_LOOKS = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rule and the points at which it is tried: the prompts in their order, and the counts at the looks."""

    prompt_ids: tuple[str, ...]
    looks: tuple[int, ...]
    half_width: float | None = None
    margin: float | None = None
    controls: tuple[str, ...] = ()  # arms that decide nothing

    @property
    def levels(self) -> list[float]:
        """The confidence of the interval at each look; together they hold at CONFIDENCE."""
        return [1 - error for error in look_levels(self.looks, len(self.prompt_ids), 1 - CONFIDENCE)]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Schedule:
        """Raises KeyError or TypeError for anything else than `as_dict` gives."""
        return cls(
            tuple(stored["prompt_ids"]),
            tuple(stored["looks"]),
            stored["half_width"],
            stored["margin"],
            tuple(stored["controls"]),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the prompts seen, the confidence of its intervals, and one row per comparison."""

    prompts: int
    confidence: float
    comparisons: list[dict[str, Any]]
    decided: bool


def look_points(total: int, block: int, least: int) -> tuple[int, ...]:
    """Counts of prompts at which a run of `total` looks: whole blocks from `least` on, and the end."""
    return (*(seen for seen in range(block, total, block) if seen >= least), total)


def block_size(total: int, strata: int, batch_size: int) -> int:
    """Prompts of a block: a share of every category and whole batches, and at most MOST_LOOKS blocks."""
    size = max(math.ceil(total / MOST_LOOKS), min(strata, total))
    return math.ceil(size / batch_size) * batch_size


def verdict(estimate: Estimate, margin: float | None) -> str:
    """`faster`, `slower`, `equal within the margin`, or `undecided`.

    An interval within the margin says equal even where it leaves out 1: such a difference was declared too small.
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return "undecided"
    if margin is not None and low >= 1 / (1 + margin) and high <= 1 + margin:
        return EQUAL
    return "faster" if low > 1.0 else "slower" if high < 1.0 else "undecided"


def with_margin(rows: Sequence[dict[str, Any]], margin: float | None) -> None:
    """Say `equal within the margin` in the rows whose decode speedup lies within it."""
    for row in rows:
        low, high = (_known(row.get(f"speedup_decode_{end}")) for end in ("low", "high"))
        if verdict(Estimate(1.0, low, high), margin) == EQUAL:
            row["speedup_decode_words"] = EQUAL


def half_width(estimate: Estimate) -> float:
    """Relative half-width of a ratio's interval: sqrt(high / low) - 1; infinite without one."""
    if estimate.low is None or estimate.high is None:
        return math.inf
    return math.sqrt(estimate.high / estimate.low) - 1


def satisfied(estimates: Sequence[Estimate], schedule: Schedule) -> bool:
    """Whether every rule of `schedule` holds for every estimate; without an estimate none does."""
    narrow = schedule.half_width is None or all(half_width(one) <= schedule.half_width for one in estimates)
    decided = schedule.margin is None or all(verdict(one, schedule.margin) != "undecided" for one in estimates)
    return bool(estimates) and narrow and decided


def look_at(generations: pd.DataFrame, schedule: Schedule, number: int, resamples: int = RESAMPLES) -> Look:
    """Look `number` of `schedule` on the generations of its prompts alone."""
    seen, confidence = schedule.looks[number], schedule.levels[number]
    chosen = generations[generations["prompt_id"].isin(schedule.prompt_ids[:seen])]
    table = paired_speedups(chosen, confidence=confidence, resamples=resamples)
    rows, estimates = [], []
    for row in table.to_dict("records"):
        if row["category"] != ALL or {row["arm"], row["other"]} & {*schedule.controls}:
            continue
        value, low, high = (_known(row[f"speedup_decode{end}"]) for end in ("", "_low", "_high"))
        if value is None:
            continue
        estimate = Estimate(value, low, high)
        estimates.append(estimate)
        about = {name: row[name] for name in ("arm", "num_draft_tokens", "other", "other_num_draft_tokens")}
        rows.append({**about, "speedup": value, "low": low, "high": high, "words": verdict(estimate, schedule.margin)})
    return Look(seen, confidence, rows, satisfied(estimates, schedule))


def looks_of(generations: pd.DataFrame, schedule: Schedule) -> tuple[dict[str, Any], list[Look]]:
    """How the run ended, as `stopped` of a summary has it, and its looks in order.

    A look is taken once every arm has a line for each of its prompts, errors included.
    """
    found: list[Look] = []
    lines = generations.groupby("prompt_id")["arm"].nunique() if len(generations) else pd.Series(dtype=int)
    arms = int(lines.max()) if len(lines) else 0
    whole = {str(prompt) for prompt, count in lines.items() if count == arms}
    reason: Reason = "max_prompts"
    for number, seen in enumerate(schedule.looks):
        if not whole.issuperset(schedule.prompt_ids[:seen]):
            reason = "unfinished"
            break
        found.append(look_at(generations, schedule, number))
        if found[-1].decided:
            reason = "decided"
            break
    prompts = found[-1].prompts if found else 0
    return {"reason": reason, "prompts": prompts, "looks": len(found)}, found


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
