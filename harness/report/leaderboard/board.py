"""Any number of runs as one ranking: the fastest arms, the best k, and groups of comparable runs.

A run's rows are paired with its own baseline prompt by prompt. Rows of two runs are not paired with each other, so
runs that differ in a condition of speed (conditions.py beside this file) belong to groups of their own, named by
letters, and are ranked apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drafters.errors import InputError
from harness.metrics.certainty.processes import student_bound
from harness.metrics.curve import Point, best
from harness.metrics.curve_file import read_curve
from harness.metrics.definitions import named
from harness.metrics.statistics import CONFIDENCE
from harness.metrics.summary import overall_pairs, read_summary
from harness.records.files import NOTHING_YET, find_runs
from harness.records.stored import read_manifest
from harness.report.leaderboard.conditions import (
    Difference,
    date_of,
    differences,
    groups,
    hardware_words,
    target_words,
)
from harness.report.manifest_words import at
from harness.report.names import is_control, known
from harness.vocabulary import ALL, BASELINE, HARNESS

SUMMARY_COLUMNS = named(
    *("dataset", "category", "arm", "num_draft_tokens", "batch_size"),
    *("prompts", "paired_prompts", "errors", "processes"),
    *("speedup_decode", "speedup_decode_low", "speedup_decode_high", "speedup_decode_words"),
    *("speedup_end_to_end", "paired_prompts_end_to_end", "speedup_decode_token_weighted", "predicted_speedup"),
    *("acceptance_length", "acceptance_rate", "decode_tok_s", "throughput_tok_s", "accuracy", "scored", "generations"),
    *("floor_ms", "strength", "baseline_strength", "speedup_at_floor"),
    *("peak_memory_over_baseline_bytes", "verdict", "verdict_exact", "verdict_tie", "verdict_mismatch"),
)
ABOUT_RUN = ("group", "run", "target", "hardware", "date", "temperature", "engine", "kind")
FROM_CURVE = ("predicted_best_k", "predicted_best_speedup")
COLUMNS = (*ABOUT_RUN, *SUMMARY_COLUMNS, *FROM_CURVE, *named("guards", "synthetic"))
#: Columns that rows of one ranking share. Across engines more than the drafter differs.
RANKED_TOGETHER = ["group", "dataset", "batch_size", "engine"]
BEST_OF = [*RANKED_TOGETHER, "arm", "kind", "category"]
BEST_COLUMNS = (
    *(*BEST_OF, "best_k"),
    *named("speedup_decode", "speedup_decode_low", "speedup_decode_high", "acceptance_length"),
    *("as_good", "tried"),
)
PAIR_FIGURES = (
    *(*named("dataset", "batch_size", "arm", "num_draft_tokens"), "other", "other_num_draft_tokens"),
    *named("speedup_decode", "speedup_decode_low", "speedup_decode_high", "speedup_decode_words", "paired_prompts"),
)
#: Runs of one k whose spread says something about the next one.
ENOUGH_RUNS = 3
PAIR_COLUMNS = ("group", "run", *PAIR_FIGURES)


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory; `label` is its path below the folder that holds all runs."""

    label: str
    folder: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Runs and their ranking.

    `rows`: every drafting arm of every run and category, the fastest first within its group; then rows without an
    interval, then void or unknown ones, then controls, which are not ranked. `best`: the best k per arm and category.
    `pairs`: drafters of one run against each other, over all categories. `letters`: each run's group.
    """

    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]
    rows: pd.DataFrame
    best: pd.DataFrame
    pairs: pd.DataFrame
    letters: dict[str, str]

    @property
    def overall(self) -> pd.DataFrame:
        """The rows over all categories."""
        return self.rows[self.rows["category"] == ALL]

    @property
    def groups(self) -> list[str]:
        """The letters of runs that may be ranked together."""
        return sorted({*self.letters.values()}, key=lambda letter: (len(letter), letter))

    @property
    def synthetic(self) -> list[str]:
        """Labels of the synthetic runs."""
        return [run.label for run in self.runs if run.manifest.get("synthetic") or run.summary.get("synthetic")]


def leaderboard(folders: Iterable[str | Path]) -> Leaderboard:
    """Rank every run in or below `folders`. Raises InputError for a folder without a run, and for damaged files."""
    asked = [Path(folder) for folder in folders]
    runs = read_runs(asked)
    if not any(run.summary["rows"] for run in runs):
        raise InputError(f"{', '.join(map(str, asked))}: {NOTHING_YET}")
    manifests = {run.label: run.manifest for run in runs}
    letters = groups(manifests)
    lines = [line for run in runs for line in _lines(run, letters[run.label])]
    rows = pd.DataFrame(lines, columns=list(COLUMNS))
    pairs = pd.DataFrame([p for run in runs for p in _pairs(run, letters[run.label])], columns=list(PAIR_COLUMNS))
    return Leaderboard(tuple(runs), tuple(differences(manifests)), _ranked(rows), best_k(rows), pairs, letters)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run in or below each folder, once, labelled by its path below their common folder."""
    found: dict[Path, None] = {}
    for folder in folders:
        found |= dict.fromkeys(path.resolve() for path in find_runs(folder))
    shared = Path(os.path.commonpath(list(found))) if len(found) > 1 else next(iter(found)).parent
    return [_read(path, str(path.relative_to(shared))) for path in found]


def _read(folder: Path, label: str) -> Run:
    try:
        summary, manifest = read_summary(folder), read_manifest(folder)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: its summary or manifest cannot be read ({error!r})") from error
    return Run(label, folder, summary, manifest)


def _lines(run: Run, group: str) -> list[dict[str, Any]]:
    arms = {arm["name"]: arm for arm in run.manifest.get("arms") or []}
    curve = read_curve(run.folder)
    return [
        {
            **from_curve(best(curve.get(row["arm"], ()), row["category"])),
            **{name: row.get(name) for name in SUMMARY_COLUMNS},
            "group": group,
            "run": run.label,
            "target": target_words(run.manifest),
            "hardware": hardware_words(run.manifest),
            "date": date_of(run.manifest),
            "temperature": at(run.manifest, "config", "decoding", "temperature"),
            "engine": arms.get(row["arm"], {}).get("engine") or HARNESS,
            "kind": kind_of(run, row["arm"]),
            "guards": "; ".join(row.get("guards") or []),
            "synthetic": bool(run.manifest.get("synthetic") or run.summary.get("synthetic")),
        }
        for row in run.summary["rows"]
        if row["arm"] != BASELINE
    ]


def from_curve(top: Point | None) -> dict[str, Any]:
    """The best k that the run's own curve predicts, and its speedup; None without a curve."""
    return dict(zip(FROM_CURVE, (None, None) if top is None else (top.k, top.speedup), strict=True))


def _pairs(run: Run, group: str) -> list[dict[str, Any]]:
    wrong = {row["arm"] for row in run.summary["rows"] if row.get("verdict_mismatch")}
    return [
        {
            **{name: pair.get(name) for name in PAIR_FIGURES},
            **({"speedup_decode_words": "void"} if wrong & {pair["arm"], pair["other"]} else {}),
            "group": group,
            "run": run.label,
        }
        for pair in overall_pairs(run.summary)
        if known(pair.get("speedup_decode"))
        and not any(is_control(kind_of(run, pair[side])) for side in ("arm", "other"))
    ]


def kind_of(run: Run, arm: str) -> str:
    """The kind of an arm's drafter; the arm's name if the manifest has none."""
    kinds = {about["name"]: about.get("kind") for about in run.manifest.get("arms") or []}
    return str(kinds.get(arm) or arm)


def is_void(rows: pd.DataFrame) -> pd.Series:
    """Whether each row's speedup is unknown, or void for an output that is not the target's."""
    return (rows["verdict_mismatch"].fillna(0) > 0) | rows["speedup_decode"].isna()


def is_bounded(rows: pd.DataFrame) -> pd.Series:
    """Whether each row's speedup has an interval."""
    return rows["speedup_decode_low"].notna() & rows["speedup_decode_high"].notna()


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` in the order of `Leaderboard.rows`, within group, dataset, batch size, engine and category."""
    order = rows.assign(
        _group=rows["group"].str.len(),
        _part=rows["category"] != ALL,
        _control=rows["kind"].map(is_control).astype(bool),
        _void=is_void(rows),
        _unbounded=~is_bounded(rows),
        _speed=-rows["speedup_decode"].astype(float),
    )
    by = ["_group", *RANKED_TOGETHER, "_part", "category", "_control", "_void", "_unbounded", "_speed"]
    return rows.loc[order.sort_values(by, kind="stable").index].reset_index(drop=True)


def best_k(rows: pd.DataFrame) -> pd.DataFrame:
    """Per group, dataset, batch size, engine, arm and category: the fastest k, and others that are as good.

    Runs of the same k count as one (geometric mean). `as_good` lists the other k whose speedup lies within the
    interval of the best; without an interval on either side a k is as good, too.
    """
    usable = rows[~is_void(rows)]
    found = []
    for key, own in usable.groupby(BEST_OF, sort=False):
        by_k = {int(str(k)): together(part) for k, part in own.groupby("num_draft_tokens")}
        if len(by_k) < 2:
            continue
        best = max(by_k, key=lambda k: by_k[k]["speedup_decode"])
        low = by_k[best]["speedup_decode_low"]
        unexcluded = [k for k, own_k in by_k.items() if None in (low, own_k["speedup_decode_low"])]
        unexcluded += [k for k in by_k if k not in unexcluded and by_k[k]["speedup_decode"] >= low]
        others = [k for k in by_k if k != best and k in unexcluded]
        cell = dict(zip(BEST_OF, key, strict=True)) if isinstance(key, tuple) else {}
        tried = ", ".join(str(k) for k in by_k)
        found.append({**cell, "best_k": best, **by_k[best], "as_good": ", ".join(map(str, others)), "tried": tried})
    table = pd.DataFrame(found, columns=list(BEST_COLUMNS))
    order = table.assign(_part=table["category"] != ALL)
    by = [*RANKED_TOGETHER, "_part", "category", "arm"]
    return table.loc[order.sort_values(by, kind="stable").index].reset_index(drop=True)


def together(rows: pd.DataFrame) -> dict[str, Any]:
    """Several runs of one k as one: geometric mean, and an interval that covers all of theirs.

    From three runs on it also covers the mean by Student's bound over the runs' own means.
    """
    low, high = rows["speedup_decode_low"].astype(float), rows["speedup_decode_high"].astype(float)
    bounded = bool(low.notna().all() and high.notna().all())
    logs = np.log(rows["speedup_decode"].astype(float).to_numpy())
    reach = 0.0
    if len(rows) >= ENOUGH_RUNS:
        reach = student_bound(len(rows) - 1, CONFIDENCE) * float(logs.std(ddof=1)) / math.sqrt(len(rows))
    mean = float(logs.mean())
    return {
        "speedup_decode": math.exp(mean),
        "speedup_decode_low": min(float(low.min()), math.exp(mean - reach)) if bounded else None,
        "speedup_decode_high": max(float(high.max()), math.exp(mean + reach)) if bounded else None,
        "acceptance_length": float(rows["acceptance_length"].astype(float).mean()),
    }
