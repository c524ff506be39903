"""The noise of a run, from its records alone: the spread of the baseline's pace, and other load on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.metrics.clocks import clock_guards, reading_of
from harness.metrics.guards import Guard
from harness.records.disturbance import LEAST_WALL_S, is_busy, lost_share
from harness.records.frames import with_defaults
from harness.records.rounds import UNTIMED
from harness.vocabulary import BASELINE, OK

Floats = NDArray[np.float64]

#: Least number of generations for a range of 80 %, and for thirds of a run.
LEAST_SPREAD = 5
LEAST_THIRDS = 9
#: Arms of a prompt run back to back, so slow drift falls on all of them; beyond a quarter it moves within a prompt.
UNSTEADY = 0.25
#: A run is busy if this share of its generations is.
BUSY_GENERATIONS = 0.1
#: Number of generations whose pairwise slopes are fitted: more would hardly move the median slope.
MOST_FITTED = 200
#: Times that each of the two slopes is fitted beside the other.
FITTING_TURNS = 10
#: Of prompts with a borrowed baseline (sweep.share_baseline), every so many keep one of their own, decoded beside.
SAMPLE = 8
#: The least number of generations on either side for a comparison of the two, and the difference that is a doubt.
LEAST_SAMPLE = 3
DRIFTED = 0.05
SUMS = ("wall_s", "cpu_s", "waited_s", "others_s", "present_s", "stolen_s", "throttled_s", "pressure_s")


def noise_of(generations: pd.DataFrame) -> dict[str, Any]:
    """A run's noise for the summary: numbers, and `text` in one line.

    `pace_low` and `pace_high` hold 80 % of the baseline's generations, as shares of the typical pace of such an answer;
    `pace_drift` is the last third of the run against the first, `pace_range` the fastest third against the slowest.
    """
    table = with_defaults(generations)
    done = table[table["status"] == OK]
    paces = relative_paces(done)
    found: dict[str, Any] = {"generations": len(paces), "pace_low": None, "pace_high": None}
    found |= {"pace_drift": None, "pace_range": None}
    if len(paces) >= 2:
        low, high = np.quantile(paces, [0.1, 0.9]) if len(paces) >= LEAST_SPREAD else (paces.min(), paces.max())
        found |= {"pace_low": float(low), "pace_high": float(high)}
    if len(paces) >= LEAST_THIRDS:
        thirds = [float(np.median(part)) for part in np.array_split(paces, 3)]
        found |= {"pace_drift": thirds[2] / thirds[0] - 1, "pace_range": max(thirds) / min(thirds) - 1}
    found |= borrowing(done)
    found["tainted"], found["of"] = int((done["taint"].fillna("") != "").sum()), len(done)
    found["machine"] = totals(done)
    return {**found, "text": _text(found)}


def relative_paces_of(generations: pd.DataFrame, chosen: pd.Index) -> Floats:
    """`relative_paces` of those baselines that are `chosen`."""
    paces = paces_by_generation(generations)
    return np.asarray(paces[paces.index.isin(chosen)], dtype=np.float64)


def relative_paces(generations: pd.DataFrame) -> Floats:
    """The baseline's pace over its typical pace for such an answer, one value per generation, in order."""
    return np.asarray(paces_by_generation(generations), dtype=np.float64)


def paces_by_generation(generations: pd.DataFrame) -> pd.Series:
    """`relative_paces` with the index of their rows."""
    chosen = (generations["arm"] == BASELINE) & (generations["new_tokens"] > 1) & (generations["decode_s"] > 0)
    rows = generations[chosen & ~generations["taint"].isin(UNTIMED)]
    paces = pd.Series(np.nan, index=rows.index)
    for _, block in rows.groupby(["dataset", "batch_size"]):
        counts = (block["new_tokens"] - 1).to_numpy(dtype=np.float64)
        lengths = (block["prompt_tokens"] + block["new_tokens"] / 2).to_numpy(dtype=np.float64)
        steps = (block["decode_s"] / counts).to_numpy(dtype=np.float64)
        paces[block.index] = typical_steps(steps, lengths, counts) / steps
    return paces


def typical_steps(steps: Floats, lengths: Floats, counts: Floats) -> Floats:
    """Typical seconds per step [N] of answers of `counts` steps [N] at these `lengths` [N], fitted to `steps` [N].

    A step takes a fixed time and some for each token that attention reads; the first steps of an answer find caches and
    clocks cold, which costs an answer the same whatever its length. Both slopes leave the least sum of differences
    between pairs of residuals (Jaeckel 1972), so outliers bend neither. Both points of a pair lie in one third of the
    run, so a machine that tires while answers get shorter bends neither. No slope is negative.
    """
    some = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_FITTED)).astype(int))
    parts = np.array_split(some, 3) if len(steps) >= LEAST_THIRDS else [some]
    per_token = cold = 0.0
    for _ in range(FITTING_TURNS if len(steps) >= LEAST_SPREAD else 0):
        per_token = _slope(lengths, steps - cold / counts, parts)
        if len(steps) < LEAST_THIRDS:  # too few for two slopes
            break
        cold = _slope(1 / counts, steps - per_token * lengths, parts)
    risen = per_token * lengths + cold / counts
    line: Floats = np.median(steps - risen) + risen
    return line if (line > 0).all() else np.full(len(steps), np.median(steps))


def _slope(x: Floats, y: Floats, parts: Sequence[NDArray[np.int64]]) -> float:
    """The median slope between two points of one part, each pair weighted by its distance in `x`; at least 0."""
    slopes, weights = [], []
    for part in parts:
        run, rise = np.subtract.outer(x[part], x[part]), np.subtract.outer(y[part], y[part])
        apart = run > 0
        slopes.append(rise[apart] / run[apart])
        weights.append(run[apart])
    found = np.concatenate(slopes)
    if not len(found):
        return 0.0
    order = np.argsort(found)
    below = np.cumsum(np.concatenate(weights)[order])
    return max(0.0, float(found[order][np.searchsorted(below, below[-1] / 2)]))


def borrowing(done: pd.DataFrame) -> dict[str, Any]:
    """Baselines that another job decoded: `borrowed` of them, its number in `lenders`, and `borrowed_drift`.

    That is the pace of those decoded beside the arms over that of the borrowed ones, less 1; None for too few of
    either. Empty where nothing is borrowed.
    """
    base = done[done["arm"] == BASELINE]
    lent = base["borrowed_from"].notna()
    if not lent.any():
        return {}
    own, theirs = (relative_paces_of(done, base.index[chosen]) for chosen in (~lent, lent))
    enough = min(len(own), len(theirs)) >= LEAST_SAMPLE
    return {
        "borrowed": int(lent.sum()),
        "lenders": sorted({str(name) for name in base["borrowed_from"][lent]}),
        "borrowed_drift": float(np.median(own) / np.median(theirs) - 1) if enough else None,
    }


def totals(generations: pd.DataFrame) -> dict[str, Any] | None:
    """Readings of the machine summed over generations; None if nothing was recorded."""
    seen = _records(generations)
    seen = [one for one in seen if "cpu_s" in one] or seen  # another engine's processes may be out of sight
    if not seen:
        return None
    kept = {name: [one[name] for one in seen if name in one] for name in SUMS}
    # A reading that some generations lack is left out: its sum would not compare with the others.
    summed = {name: round(sum(values), 3) for name, values in kept.items() if len(values) == len(seen)}
    loads = [one["load"] for one in seen if "load" in one]
    load = round(sum(loads) / len(loads), 2) if loads else None
    return {**summed, "load": load, "threads": max(one.get("threads", 1) for one in seen)}


def run_doubts(generations: pd.DataFrame, noise: Mapping[str, Any]) -> list[Guard]:
    """Doubts about a whole run: a busy machine, a pace that did not hold, clocks that were throttled."""
    found = []
    machine, share = noise["machine"], noise["tainted"] / noise["of"] if noise["of"] else 0.0
    table = with_defaults(generations)
    busy = int(((table["status"] == OK) & (table["taint"] == "busy")).sum())
    enough = machine is not None and machine.get("wall_s", 0.0) >= LEAST_WALL_S
    if machine is not None and enough and (is_busy(machine) or busy >= BUSY_GENERATIONS * noise["of"]):
        load = "" if machine["load"] is None else f" (load {machine['load']:.1f})"
        message = (
            f"other processes used {_per_wall(machine, 'others_s'):.1f} CPUs{load}, and the run's own threads lost "
            f"{lost_share(machine):.0%} of their time by it; {busy} of {noise['of']} generations are marked busy "
            f"({share:.0%} have doubtful times); run again on an idle machine before you quote a speed"
        )
        found.append(Guard("busy_machine", "warning", message))
    if noise["pace_range"] is not None and noise["pace_range"] > UNSTEADY:
        message = (
            f"the baseline was {noise['pace_range']:.0%} faster in one third of the run than in another: the machine "
            "did other work, or did not hold its clocks"
        )
        found.append(Guard("unsteady_pace", "warning", message))
    if noise.get("borrowed"):
        found.append(_borrowed_guard(noise))
    found += _thread_guards(_records(table))
    readings = [reading_of(stored) for one in _records(table) for stored in one.get("clocks", [])]
    return found + clock_guards(readings)


def _borrowed_guard(noise: Mapping[str, Any]) -> Guard:
    """How far the speedups of a run with a borrowed baseline can be off."""
    drift = noise["borrowed_drift"]
    if drift is None:
        message = f"{_borrowed_text(noise)}: the machine may have changed between the jobs"
        return Guard("borrowed_baseline", "warning", message)
    if abs(drift) > DRIFTED:
        message = f"{_borrowed_text(noise)}: every speedup may be off by as much; run with sweep.share_baseline=false"
        return Guard("borrowed_baseline", "warning", message)
    return Guard("borrowed_baseline", "info", _borrowed_text(noise))


def _borrowed_text(noise: Mapping[str, Any]) -> str:
    lenders = ", ".join(noise["lenders"])
    said = f"{noise['borrowed']} of {noise['generations']} baselines were decoded in job {lenders}, not beside the arms"
    drift = noise["borrowed_drift"]
    return said + (
        ", and too few beside them to compare the pace" if drift is None
        else f"; those decoded beside them were {abs(drift):.0%} {'faster' if drift >= 0 else 'slower'}"
    )  # fmt: skip


def _records(generations: pd.DataFrame) -> Sequence[Mapping[str, Any]]:
    found: Iterable[Any] = generations.get("machine", [])
    return [one for one in found if isinstance(one, Mapping) and one.get("wall_s")]


def _thread_guards(seen: Sequence[Mapping[str, Any]]) -> list[Guard]:
    counts = Counter(int(one["threads"]) for one in seen if "threads" in one)
    if len(counts) < 2:
        return []
    said = ", ".join(f"{count} in {number}" for count, number in sorted(counts.items()))
    message = (
        f"the thread count changed during the run (generations by threads: {said}); the arms of a prompt always ran at "
        "the same one"
    )
    return [Guard("threads_changed", "info", message)]


def _per_wall(machine: Mapping[str, Any], name: str) -> float:
    return float(machine.get(name, 0.0)) / float(machine["wall_s"])


def _text(found: Mapping[str, Any]) -> str:
    count = found["generations"]
    if found["pace_low"] is None:
        said = [f"the baseline's pace is known from {count} generation{'' if count == 1 else 's'}, its spread is not"]
    else:
        part = "80 % of " if count >= LEAST_SPREAD else ""
        low, high = (f"{100 * (found[name] - 1):+.0f} %" for name in ("pace_low", "pace_high"))
        of = f"{part}{count} generations"
        said = [f"the baseline's pace at equal lengths varied from {low} to {high} over the run ({of})"]
    if found.get("borrowed"):
        said.append(_borrowed_text(found))
    elif found["pace_drift"] is not None:
        said.append(f"{100 * found['pace_drift']:+.0f} % from its first third to its last")
    machine = found["machine"]
    if machine is not None and "others_s" in machine:
        said.append(
            f"other processes used {_per_wall(machine, 'others_s'):.1f} CPUs, which cost the run "
            f"{100 * lost_share(machine):.0f} % of its own time on them"
        )
    if found["of"]:
        said.append(f"{found['tainted']} of {found['of']} generations have doubtful times")
    return "; ".join(said)
