"""Which arm and which k to deploy, from the runs of one folder; or why they do not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.metrics.curve import Point, best
from harness.metrics.curve_file import read_curve
from harness.metrics.summary import SummaryRow, overall
from harness.report.leaderboard.board import Run, kind_of, read_runs
from harness.report.leaderboard.conditions import CONDITIONS, groups
from harness.report.names import is_control, known
from harness.report.page.headline import DISTURBED
from harness.vocabulary import ALL, BASELINE

NONE, EITHER = "none", "either"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arm at its best k, measured or predicted."""

    arm: str
    kind: str
    point: Point
    path: str | None = None
    engine: str = "harness"
    floor: float | None = None  # its speedup were every pass at the machine's floor, known at its measured k
    conventions: Mapping[str, Any] = field(default_factory=dict)  # the drafter's, where the run kept them
    as_good: tuple[int, ...] = ()  # other k whose speedup lies within the interval

    def overlaps(self, other: Candidate) -> bool:
        """Whether their intervals leave open which is faster."""
        mine, theirs = self.point, other.point
        if None in (mine.low, mine.high, theirs.low, theirs.high):
            return True
        return bool(mine.low <= theirs.high and theirs.low <= mine.high)  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Advice:
    """The answer for one batch size. `arm` is an arm, `none`, `either`, or None where it abstains for a reason."""

    batch_size: int
    arm: str | None
    k: int | None = None
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    abstains: str | None = None
    candidates: tuple[Candidate, ...] = ()  # the fastest first
    runs: tuple[Run, ...] = field(default=(), repr=False)

    @property
    def result(self) -> dict[str, Any]:
        """The machine-readable answer."""
        return {name: getattr(self, name) for name in ("arm", "k", "speedup", "low", "high", "abstains")}


def advise(folders: Sequence[str | Path], only: str | None = None) -> list[Advice]:
    """One answer per batch size that was run, the smallest first; about the arm `only` where it is given.

    Raises InputError for a folder without a run, and for an arm that no run has.
    """
    runs = read_runs([Path(folder) for folder in folders])
    names = sorted({str(row["arm"]) for run in runs for row in run.summary["rows"]} - {BASELINE})
    if only is not None and only not in names:
        raise InputError(f"--arm {only}: no run has such an arm, expected one of {', '.join(names) or 'none'}")
    by_size: dict[int, list[Run]] = {}
    for run in runs:
        for size in {int(row["batch_size"]) for row in run.summary["rows"]} or {0}:
            by_size.setdefault(size, []).append(run)
    differing = differences_of(runs)
    return [decide(size, by_size[size], differing, only) for size in sorted(by_size)]


def differences_of(runs: Sequence[Run]) -> str | None:
    """Why the runs cannot be taken together; None where they can."""
    manifests = {run.label: run.manifest for run in runs}
    if len({*groups(manifests).values()}) < 2:
        return None
    apart = [c.name for c in CONDITIONS if c.splits and len({c.value(one) for one in manifests.values()}) > 1]
    return f"the runs differ in {', '.join(apart)}: give the runs of one condition"


def decide(batch_size: int, runs: Sequence[Run], differing: str | None = None, only: str | None = None) -> Advice:
    """The answer from runs at one batch size, about all arms or the one called `only`."""
    reason = differing or next((text for run in runs if (text := void(run, batch_size))), None)
    found = () if reason else tuple(one for one in candidates(runs, batch_size) if only in (None, one.arm))
    if not reason and not found:
        reason = "no trained drafter finished a prompt beside the baseline"
    if not reason and any(one.point.low is None for one in found):
        short = [one.arm for one in found if one.point.low is None]
        reason = f"too few prompts for an interval ({', '.join(short)}): five at least, ten or more are better"
    if reason:
        return Advice(batch_size, None, abstains=reason, candidates=found, runs=tuple(runs))
    first = found[0]
    interval = (first.point.speedup, first.point.low, first.point.high)
    pays = [one for one in found if (one.point.low or 0) > 1]
    if not pays:
        return Advice(batch_size, NONE, 0, 1.0, None, None, None, found, tuple(runs))
    if any(first.overlaps(one) for one in found[1:]):
        return Advice(batch_size, EITHER, None, *interval, None, found, tuple(runs))
    return Advice(batch_size, first.arm, first.point.k, *interval, None, found, tuple(runs))


def void(run: Run, batch_size: int) -> str | None:
    """Why nothing follows from a run; None where its figures stand."""
    if run.manifest.get("synthetic") or run.summary.get("synthetic"):
        return f"{run.label} is synthetic: what a round costs is measured, what it earns is not"
    rows = [row for row in overall(run.summary) if int(row["batch_size"]) == batch_size]
    base = [row for row in rows if row["arm"] == BASELINE and row["generations"]]
    if not base:
        return f"{run.label} has no finished baseline to compare with"
    for row in rows:
        if row.get("verdict_mismatch"):
            return (
                f"{run.label}: {row['arm']} does not reproduce the target's output ({row['verdict_mismatch']} outputs)"
            )
    trained = {row["arm"] for row in rows if not is_control(kind_of(run, row["arm"]))}
    for guard in run.summary.get("guards") or []:
        concerns = guard.get("arm") in (None, "", BASELINE, *trained)
        if guard["code"] in DISTURBED or (guard["severity"] == "error" and concerns):
            return f"{run.label}: {guard['code']}: {guard['message']}"
    return None


def candidates(runs: Sequence[Run], batch_size: int) -> list[Candidate]:
    """Every trained arm at its best k, the fastest first. A k that was run counts as it was measured."""
    points: dict[str, dict[int, Point]] = {}
    about: dict[str, Candidate] = {}
    for run in runs:
        curve = read_curve(run.folder)
        for row in overall(run.summary):
            arm, kind = str(row["arm"]), kind_of(run, row["arm"])
            if arm == BASELINE or int(row["batch_size"]) != batch_size or is_control(kind):
                continue
            if not known(row.get("speedup_decode")):
                continue
            own = points.setdefault(arm, {})
            for point in [*(p for p in curve.get(arm, ()) if p.category == ALL and not p.measured), measured(row)]:
                kept = own.get(point.k)
                if kept is None or (point.measured, -width(point)) > (kept.measured, -width(kept)):
                    own[point.k] = point
            described = {str(one.get("name")): one for one in run.manifest.get("arms") or []}.get(arm, {})
            path = (run.manifest.get("models") or {}).get(arm, {}).get("path")
            floor = row.get("speedup_at_floor")
            engine, conventions = str(described.get("engine") or "harness"), described.get("conventions") or {}
            about[arm] = Candidate(arm, kind, measured(row), path, engine, floor, conventions)
    found = []
    for arm, own in points.items():
        top = best(own.values())
        if top is not None:
            one = about[arm]
            alike = [k for k in sorted(own) if k != top.k and (own[k].speedup or 0) >= (top.low or 0)]
            found.append(replace(one, point=top, as_good=tuple(alike)))
    return sorted(found, key=lambda one: -(one.point.speedup or 0.0))


def measured(row: SummaryRow) -> Point:
    """A summary's row as a point of its arm's curve."""
    tau = row.get("acceptance_length")
    interval = (row.get("speedup_decode_low"), row.get("speedup_decode_high"))
    return Point(
        int(row["num_draft_tokens"]), ALL, tau if known(tau) else math.nan, row["speedup_decode"], *interval, True
    )


def width(point: Point) -> float:
    """Of an interval, as a ratio of its ends; infinite without one."""
    return math.inf if point.low is None or point.high is None else point.high / point.low


def ran_in(runs: Sequence[Run]) -> Mapping[str, bool]:
    """The engines of the runs' arms."""
    return {str(arm.get("engine") or "harness"): True for run in runs for arm in run.manifest.get("arms") or []}
