"""Speedups of a run that still decodes, for the eye: each arm's geometric mean over the turns finished so far.

Every generation is taken once and costs a few additions, so that nothing is computed while something is timed. Without
repeats and conversations the last line before a run's end is the table's `speedup_decode`; with them the table first
takes medians over repeats and sums over turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.rounds import UNTIMED
from harness.vocabulary import BASELINE, HARNESS, OK

Place = tuple[str, int, int, str]  # prompt_id, turn, repeat, engine


@dataclass(slots=True)
class Arm:
    """One arm's turns: the logarithm of its speedup on each, their sum, and the turns that failed."""

    logs: dict[Place, float] = field(default_factory=dict)
    total: float = 0.0
    failed: set[Place] = field(default_factory=set)

    def pair(self, place: Place, base: float, own: float) -> None:
        """Take the seconds per token of the baseline and of this arm; a turn decoded again replaces itself."""
        log = math.log(base / own)
        self.total += log - self.logs.get(place, 0.0)
        self.logs[place] = log


@dataclass(slots=True)
class SoFar:
    """The speedups of the rows taken so far; arms stand in the order in which they first appeared."""

    arms: dict[str, Arm] = field(default_factory=dict)
    waiting: dict[Place, dict[str, float]] = field(default_factory=dict)  # seconds per token, by arm
    base: dict[Place, float] = field(default_factory=dict)
    base_s: float = 0.0
    base_tokens: int = 0

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count rows of the journal. Arms are paired with the baseline of their own engine on the same turn."""
        for row in rows:
            place = (str(row["prompt_id"]), int(row["turn"]), int(row["repeat"]), str(row.get("engine") or HARNESS))
            self._take(place, str(row["arm"]), row)

    def _take(self, place: Place, arm: str, row: Mapping[str, Any]) -> None:
        is_base = arm in (BASELINE, f"{place[3]}_{BASELINE}")
        own = None if is_base else self.arms.setdefault(arm, Arm())
        if own is not None:
            (own.failed.discard if row["status"] == OK else own.failed.add)(place)
        tokens, seconds = len(row["token_ids"]) - 1, float(row["decode_s"] or 0)
        if row["status"] != OK or tokens < 1 or not seconds > 0 or row.get("taint") in UNTIMED:
            return
        if own is None:
            self.base_tokens, self.base_s = self.base_tokens + tokens, self.base_s + seconds
            self.base[place] = seconds / tokens
            for name, theirs in self.waiting.pop(place, {}).items():
                self.arms[name].pair(place, self.base[place], theirs)
        elif place in self.base:
            own.pair(place, self.base[place], seconds / tokens)
        else:
            self.waiting.setdefault(place, {})[arm] = seconds / tokens

    def speedup(self, arm: str) -> float | None:
        """The arm's geometric mean so far; None before its first pair."""
        own = self.arms.get(arm)
        return math.exp(own.total / len(own.logs)) if own is not None and own.logs else None

    def words(self) -> list[str]:
        """A few words for each arm, as `mtp 1.71x`; the baseline's pace where no other arm has appeared."""
        if not self.arms and self.base_s:
            return [f"{BASELINE} {self.base_tokens / self.base_s:.0f} tokens/s"]
        said = []
        for name, own in self.arms.items():
            found = self.speedup(name)
            failed = f"{len(own.failed)} failed" if own.failed else ""
            if found is not None:
                said.append(f"{name} {found:.2f}x" + (f" ({failed})" if failed else ""))
            elif failed:
                said.append(f"{name} {failed}")
        return said
