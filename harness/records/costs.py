"""The cost table of a run: milliseconds of drafting and verifying at each k, measured before the first prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.records.files import COSTS, replace_file
from harness.records.stored import read_object, warn_once


@dataclass(frozen=True, slots=True)
class RoundCost:
    """Milliseconds of the parts of a round that drafts `k` tokens, and their relative standard errors.

    `passes` rounds were timed; 0 where the value lies between measured ones.
    """

    k: int
    draft_ms: float
    verify_ms: float
    draft_error: float = 0.0
    verify_error: float = 0.0
    passes: int = 0


@dataclass(frozen=True, slots=True)
class ArmCosts:
    """One arm's measured rounds, by ascending k. `block`: all k come from one pass over a block of masks."""

    block: bool
    rounds: tuple[RoundCost, ...]


@dataclass(frozen=True, slots=True)
class CostTable:
    """Costs at one `context` (positions) and `batch_size`; `decode_ms` is a round of the baseline, one token wide.

    `seconds` is the time that the measurement took.
    """

    context: int
    batch_size: int
    execution: str
    decode_ms: float
    seconds: float
    arms: Mapping[str, ArmCosts] = field(default_factory=dict)

    def at(self, arm: str, k: int) -> RoundCost | None:
        """The cost of a round of `k` drafts; between measured k it is interpolated. None for an unknown arm or k.

        Compiled rounds exist for the arm's own k alone. Verification is then interpolated over the widths of all arms.
        Drafting is taken as proportional to k where tokens are chained, and to a pass of its width where they come from
        one block. The error of a value between two measured ones is a quarter of the step between those.
        """
        own = self.arms.get(arm)
        if own is None or not own.rounds or not 1 <= k <= own.rounds[-1].k:
            return None
        known = next((one for one in own.rounds if one.k == k), None)
        if known is not None:
            return known
        verify, verify_error = between([(1, self.decode_ms), *self._widths()], k + 1)
        drafts = [(one.k, one.draft_ms) for one in own.rounds]
        if k < drafts[0][0]:
            first, top = drafts[0]
            share = verify / between([(1, self.decode_ms), *self._widths()], first + 1)[0] if own.block else k / first
            draft = top * share
            return RoundCost(k, draft, verify, (top - draft) / 4 / max(draft, 1e-9), verify_error)
        draft, draft_error = between(drafts, k)
        return RoundCost(k, draft, verify, draft_error, verify_error)

    def _widths(self) -> list[tuple[int, float]]:
        """Milliseconds of verification by width, the mean over the arms that have it."""
        found: dict[int, list[float]] = {}
        for arm in self.arms.values():
            for one in arm.rounds:
                found.setdefault(one.k + 1, []).append(one.verify_ms)
        return [(width, sum(found[width]) / len(found[width])) for width in sorted(found)]


def between(points: Sequence[tuple[int, float]], at: int) -> tuple[float, float]:
    """The value at `at` on the line between its neighbours among ascending `points`, and its relative error."""
    for (left, low), (right, high) in pairwise(points):
        if left <= at <= right:
            value = low + (high - low) * (at - left) / (right - left)
            inside = left < at < right
            return value, abs(high - low) / 4 / max(value, 1e-9) if inside else 0.0
    nearest = min(points, key=lambda point: abs(point[0] - at))
    return nearest[1], 0.0


def write_costs(run_dir: Path, table: CostTable) -> None:
    """Keep the table beside the records."""
    replace_file(run_dir / COSTS, json.dumps(asdict(table), indent=1) + "\n")


def read_costs(run_dir: str | Path) -> CostTable | None:
    """The run's table; None where it has none, or a damaged one."""
    path = Path(run_dir) / COSTS
    found = read_object(path, "no k but the run's own can be judged")
    if found is None:
        return None
    try:
        return CostTable(**{**found, "arms": {name: _arm(one) for name, one in found["arms"].items()}})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        warn_once(f"{path} is damaged ({error!r}): no k but the run's own can be judged")
        return None


def _arm(stored: Mapping[str, Any]) -> ArmCosts:
    rounds = sorted((RoundCost(**one) for one in stored["rounds"]), key=lambda one: one.k)
    for one in rounds:
        if not (one.draft_ms >= 0 and one.verify_ms > 0):
            raise ValueError(f"k={one.k}: draft_ms={one.draft_ms}, verify_ms={one.verify_ms}")
    return ArmCosts(bool(stored["block"]), tuple(rounds))
