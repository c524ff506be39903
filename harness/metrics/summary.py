"""`summary.json` and `summary.csv`, built from the files of a run directory alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drafters.errors import InputError
from harness.metrics.cells import CELL, cell_metrics
from harness.metrics.certainty.looks import Schedule, looks_of, with_margin
from harness.metrics.certainty.run_to_run import as_comparisons, run_to_run
from harness.metrics.curve_file import write_curve
from harness.metrics.definitions import DEFINITIONS, as_dict, named
from harness.metrics.engines import engines_of, partings
from harness.metrics.guards import SYNTHETIC, Guard, cell_guards, worth_listing
from harness.metrics.noise import noise_of, run_doubts
from harness.metrics.pairing import PROMPT_COUNTS, paired_speedups
from harness.metrics.statistics import CONFIDENCE, RESAMPLES, SEED
from harness.metrics.strength import Floors, read_floors
from harness.records.csv_text import csv_text
from harness.records.files import (
    EARLIER,
    GENERATIONS,
    LOOKS,
    MANIFEST,
    RUN_KEY,
    SUMMARY_CSV,
    SUMMARY_JSON,
    replace_file,
)
from harness.records.frames import journal_bytes, read_generations, read_rounds, write_rounds
from harness.records.stored import read_manifest, read_object, warn_once
from harness.vocabulary import ALL, BASELINE

SCHEMA = 1
#: One row of a summary, or one direct comparison, as JSON holds it.
SummaryRow = Mapping[str, Any]
COLUMNS = tuple(definition.name for definition in DEFINITIONS)
WHOLE = tuple(definition.name for definition in DEFINITIONS if definition.unit in ("count", "bytes"))
#: Counts that are 0, not unknown, for an arm without a finished baseline beside it.
PAIR_COUNTS = named(*PROMPT_COUNTS.values(), "unequal_token_prompts")


def summarise(run_dir: str | Path, *, run_guards: Sequence[Guard] = (), **options: Any) -> dict[str, Any]:
    """Write `rounds.parquet`, `summary.json` and `summary.csv` of a run, each atomically; gives the summary.

    `run_guards` are doubts found outside the records. `options` as `summary_of` takes them.
    """
    write_rounds(run_dir)
    summary = build_summary(run_dir, run_guards=run_guards, **options)
    write_summary(run_dir, summary)
    looked = summary.get("looks")  # then at the level of the last look, as the summary's own intervals
    write_curve(run_dir, confidence=looked[-1]["confidence"] if looked else summary["confidence"])
    return summary


def build_summary(run_dir: str | Path, **options: Any) -> dict[str, Any]:
    """The summary of a run directory, nothing written. Raises InputError for damaged files."""
    folder = Path(run_dir)
    stored = read_object(folder / RUN_KEY, f"the arms' kinds are read from {MANIFEST}")
    # The run key first: it is there from the first record on, and never rewritten.
    kinds, synthetic = _from_run_key(stored) if stored is not None else _from_manifest(read_manifest(folder))
    covers = journal_bytes(folder).decode()
    rounds, generations = read_rounds(run_dir), read_generations(run_dir)
    floors = read_floors(read_manifest(folder))
    known: dict[str, Any] = {"kinds": kinds, "synthetic": synthetic, "floors": floors}
    looked = _looked(folder, generations)
    if looked.get("looks"):  # the level of the last look, at which every interval is as valid as that look's
        known["confidence"] = looked["looks"][-1]["confidence"]
    figures = summary_of(rounds, generations, **{**known, **options})
    if looked:
        with_margin([*figures["rows"], *figures["pairs"]], looked["until"]["margin"])
    overall_rows = as_comparisons(overall(figures), overall_pairs(figures))
    earlier = read_object(folder / EARLIER, "earlier runs are unknown") or {}
    return {
        "run_key": (stored or {}).get("run_key"),
        "covers": covers,
        "run_to_run": run_to_run(overall_rows, earlier.get("runs") or []),
        **figures,
        **({**looked, "confidence": CONFIDENCE} if looked else {}),
    }


def summary_of(
    rounds: pd.DataFrame,
    generations: pd.DataFrame,
    *,
    kinds: Mapping[str, str] | None = None,
    synthetic: str | None = None,
    floors: Floors | None = None,
    run_guards: Sequence[Guard] = (),
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """The summary of two tables as plain values: `rows`, `pairs`, `guards`, `verdicts`, `noise` and the definitions.

    `synthetic` is one sentence on the made-up parts of the run, if any: it marks every row and is its first guard.
    `floors` are the shapes and rates behind the floor of each round; without them its figures are unknown.

    `rows` hold every name of definitions.py; their speedups are over the baseline, and null in its own row.
    `pairs` hold the drafting arms against each other: `arm` is so many times faster than `other`.
    `verdicts` counts the generations of the drafting arms by verdict. Unknown numbers are null, never NaN.
    """
    cells = cell_metrics(rounds, generations, floors)
    pairs = paired_speedups(generations, confidence=confidence, resamples=resamples, seed=seed)
    against = pairs["other"] == BASELINE
    speedups = pairs[against].drop(columns=["other", "other_num_draft_tokens"], errors="ignore")
    cells = cells.merge(speedups, on=list(CELL), how="left")
    for name in PAIR_COUNTS:
        counts = cells[name] if name in cells else pd.Series(float("nan"), index=cells.index)
        cells[name] = counts.where((cells["arm"] == BASELINE) | counts.notna(), 0)
    cells["synthetic"] = synthetic is not None
    found = cell_guards(cells, kinds)
    noise = noise_of(generations)
    everywhere = [] if synthetic is None else [Guard(SYNTHETIC, "warning", synthetic)]
    everywhere += run_doubts(generations, noise)
    general = [guard for guard in everywhere if guard.severity != "info"]
    cells["guards"] = [[str(guard) for guard in (*general, *guards)] for guards in found]
    rows = cells.reindex(columns=list(COLUMNS)).to_dict("records")
    for row in rows:  # a merge turns counts into floats where a row has none
        row |= {name: None if pd.isna(row[name]) else int(row[name]) for name in WHOLE}
    judged = cells[(cells["arm"] != BASELINE) & (cells["category"] == ALL)]
    return {
        "schema": SCHEMA,
        "synthetic": synthetic,
        "confidence": confidence,
        "bootstrap": {"method": "symmetric studentised, over prompts", "resamples": resamples, "seed": seed},
        "verdicts": {name: int(judged[f"verdict_{name}"].sum()) for name in ("exact", "tie", "mismatch", "none")},
        "guards": [guard.as_dict() for guard in (*everywhere, *run_guards, *worth_listing(found))],
        "noise": plain(noise),
        "rows": plain(rows),
        "pairs": plain(pairs[~against].to_dict("records")),
        "engines": plain(engines_of(rounds, generations, pairs.to_dict("records"))),
        "partings": plain(partings(generations)),
        "definitions": as_dict(),
    }


def write_summary(run_dir: str | Path, summary: Mapping[str, Any]) -> None:
    """Replace `summary.json` and `summary.csv`. In the CSV, lists are JSON text."""
    folder = Path(run_dir)
    replace_file(folder / SUMMARY_JSON, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    replace_file(folder / SUMMARY_CSV, as_csv(summary["rows"]))


def read_summary(run_dir: str | Path) -> dict[str, Any]:
    """`summary.json`, or its content computed again if it is absent, damaged, or older than the journals.

    Raises InputError for damaged journals, and for a damaged summary of a run that was passed on without them.
    """
    return stored_summary(run_dir) or build_summary(run_dir)


def stored_summary(run_dir: str | Path) -> dict[str, Any] | None:
    """`summary.json` if it is whole and as new as the journals, else None. Raises as `read_summary` does."""
    folder = Path(run_dir)
    path = folder / SUMMARY_JSON
    journalled = (folder / GENERATIONS).exists()
    found = read_object(path, f"its figures are {'computed again from the journals' if journalled else 'lost'}")
    if found is None or not isinstance(found.get("rows"), list):
        if path.exists() and not journalled:
            raise InputError(f"{path} is damaged, and there is no {GENERATIONS} to restore it from")
        return None
    covers = found.get("covers")  # absent in summaries of earlier versions
    if journalled and covers is not None and covers != journal_bytes(folder).decode():
        warn_once(f"{path} is older than the journals beside it: its figures are computed again")
        return None
    return found


def overall(summary: Mapping[str, Any], order: Sequence[str] = ()) -> list[SummaryRow]:
    """The rows over all categories: one per dataset, batch size, arm and k; the arms of `order` first."""
    rows = [row for row in summary["rows"] if row["category"] == ALL]
    return sorted(rows, key=lambda row: order.index(row["arm"]) if row["arm"] in order else len(order))


def overall_pairs(summary: Mapping[str, Any]) -> list[SummaryRow]:
    """The direct comparisons of two drafting arms over all categories."""
    return [pair for pair in summary.get("pairs") or () if pair["category"] == ALL]


def mismatched(summary: Mapping[str, Any]) -> list[str]:
    """Arms that did not reproduce the baseline's tokens, which makes a strict run a failure."""
    return [str(row["arm"]) for row in overall(summary) if row["verdict_mismatch"]]


def undecoded(summary: Mapping[str, Any], arms: Iterable[str] = ()) -> list[str]:
    """Those of `arms` that finished no prompt, which makes a run a failure; without `arms`, those of the summary."""
    rows = overall(summary)
    finished = {row["arm"] for row in rows if row["generations"]}
    return [arm for arm in (arms or dict.fromkeys(str(row["arm"]) for row in rows)) if arm not in finished]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a summary as CSV text, one column per definition, lists as JSON text, unknown numbers empty."""
    return csv_text(pd.DataFrame([flat(row) for row in rows], columns=list(COLUMNS), dtype=object))


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` as a CSV holds it: lists as JSON text."""
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}


def plain(value: Any) -> Any:
    """`value` as JSON has it: plain types, whole numbers as integers, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if value is pd.NA else value


def _looked(folder: Path, generations: pd.DataFrame) -> dict[str, Any]:
    """`stopped`, `until` and `looks` of a run that may stop early; nothing for any other."""
    stored = read_object(folder / LOOKS, "the looks of the run are lost, and its intervals take no account of them")
    if stored is None:
        return {}
    schedule = Schedule.from_dict(stored)
    stopped, looks = looks_of(generations, schedule)
    rule = {"half_width": schedule.half_width, "margin": schedule.margin, "most": len(schedule.prompt_ids)}
    return {"stopped": stopped, "until": rule, "looks": plain([asdict(look) for look in looks])}


def _from_run_key(stored: Mapping[str, Any]) -> tuple[dict[str, str], Any]:
    """The kinds of the arms, and the sentence on made-up parts, if any."""
    config = (stored.get("identity") or {}).get("config") or {}
    drafters = config.get("drafters") or {}
    return {arm: str((about or {}).get("kind") or arm) for arm, about in drafters.items()}, config.get("synthetic")


def _from_manifest(manifest: Mapping[str, Any]) -> tuple[dict[str, str], Any]:
    arms = manifest.get("arms") or []
    return {str(arm["name"]): str(arm.get("kind") or arm["name"]) for arm in arms}, manifest.get("synthetic")
