"""Mirrors a run directory in W&B, from its files alone: it can be repeated at any time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from harness.metrics.curve import Point, best
from harness.metrics.curve_file import read_curve
from harness.metrics.summary import overall, overall_pairs, read_summary
from harness.records.files import (
    COSTS,
    CURVE,
    GENERATIONS,
    MANIFEST,
    REPORT,
    ROUNDS,
    RUN_KEY,
    SUMMARY_CSV,
    SUMMARY_JSON,
)
from harness.records.frames import read_generations, read_rounds
from harness.records.paths import without_places
from harness.records.stored import read_manifest
from harness.report.tracking.described import SHARED, aliases, arm_rows, artifact_name, drafting_arms, fastest
from harness.report.tracking.history import define, prompt_rows
from harness.vocabulary import ALL

TABLE_ROWS = 10_000  # the rows of a table that wandb shows; the artifact holds all
ERRORS = "errors.log"
ARTIFACT_FILES = (SUMMARY_JSON, SUMMARY_CSV, REPORT, ROUNDS, GENERATIONS, RUN_KEY, COSTS, CURVE)
#: Files that name places of the machine; the artifact holds them without.
CLEANED_FILES = (MANIFEST, ERRORS)
GENERATION_COLUMNS = (
    "prompt_id", "category", "arm", "turn", "repeat", "num_draft_tokens", "prompt_tokens", "new_tokens", "prefill_s",
    "decode_s", "finish_reason", "status", "error", "verdict", "score", "text",
)  # fmt: skip


def mirror(run: Any, run_dir: Path) -> None:
    """Log summary figures, history, tables, plots, the page and the files of `run_dir` to the open wandb run `run`."""
    summary, manifest = read_summary(run_dir), read_manifest(run_dir)
    rows = arm_rows(summary, manifest)
    # Plain figures first: they survive if a table cannot be sent.
    run.summary.update(summary_figures(summary) | curve_figures(run_dir) | fastest(rows))
    if len(rows) == 1:
        run.summary.update(rows[0])
    define(run, list(drafting_arms(manifest)))
    for row in (*prompt_rows(read_generations(run_dir), read_rounds(run_dir)), *rows):
        run.log(row)
    run.log(tables(run_dir, summary, rows) | page(run_dir / REPORT))
    run.log_artifact(artifact(run_dir, manifest), aliases=aliases(manifest))


def page(path: Path) -> dict[str, Any]:
    """The page at `path` as a panel, named after its file; empty without it."""
    import wandb

    # As it is: wandb's own style sheet would change its colours.
    return {path.stem: wandb.Html(path, inject=False)} if path.is_file() else {}


def summary_figures(summary: dict[str, Any]) -> dict[str, Any]:
    """Figures over all categories by stable names: `<arm>/<figure>`, `<arm>_vs_<other>/<figure>`."""
    figures: dict[str, Any] = {"synthetic": summary["synthetic"]} if summary.get("synthetic") else {}
    for row in overall(summary):
        figures |= {f"{row['arm']}/{name}": value for name, value in row.items() if is_figure(value)}
    for pair in overall_pairs(summary):
        prefix = f"{pair['arm']}_vs_{pair['other']}"
        figures |= {f"{prefix}/{name}": value for name, value in pair.items() if is_figure(value)}
    return figures


def curve_figures(run_dir: Path) -> dict[str, Any]:
    """Each arm's best k and its predicted speedup, `<arm>/best_k` and `<arm>/best_k_speedup`; none without a curve."""
    tops = {arm: best(points) for arm, points in read_curve(run_dir).items()}
    return {
        f"{arm}/{name}": value
        for arm, top in tops.items()
        if top is not None
        for name, value in (("best_k", top.k), ("best_k_speedup", top.speedup))
    }


def k_curve(run_dir: Path) -> pd.DataFrame:
    """Every point of `curve.json`."""
    rows = [{"arm": arm, **asdict(point)} for arm, points in read_curve(run_dir).items() for point in points]
    return pd.DataFrame(rows, columns=["arm", *(one.name for one in fields(Point))])


def is_figure(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 200)


def positions(summary: dict[str, Any]) -> pd.DataFrame:
    """Acceptance per arm and draft position over all categories, for the plot."""
    rows = [
        (row["arm"], position, unconditional, conditional)
        for row in overall(summary)
        for position, (unconditional, conditional) in enumerate(
            zip(row.get("position_unconditional") or [], row.get("position_conditional") or [], strict=True), start=1
        )
    ]
    return pd.DataFrame(rows, columns=["arm", "position", "unconditional", "conditional"])


def tables(run_dir: Path, summary: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per-prompt, per-round, per-category, per-arm and per-position tables, and the position curves as a plot.

    `rows` are those of described.arm_rows: W&B joins the `tables/arms` of several runs into one.
    """
    import wandb

    generations = read_generations(run_dir)
    rounds = read_rounds(run_dir)
    categories = pd.DataFrame([{k: v for k, v in row.items() if is_figure(v)} for row in summary["rows"]])
    curves = positions(summary)
    logged: dict[str, Any] = {
        "tables/prompts": table(generations.reindex(columns=list(GENERATION_COLUMNS))),
        "tables/rounds": table(rounds),
        "tables/summary": table(categories),
        "tables/arms": arms_table(rows),
        "tables/positions": table(curves),
    }
    if len(curves):
        arms = list(dict.fromkeys(curves["arm"]))
        by_arm = [curves[curves["arm"] == arm] for arm in arms]
        logged["plots/acceptance_by_position"] = wandb.plot.line_series(
            xs=[list(one["position"]) for one in by_arm],
            ys=[list(one["unconditional"]) for one in by_arm],
            keys=arms,
            title="Drafts accepted at or beyond each position",
            xname="draft position",
        )
    speedups = k_curve(run_dir)
    if len(speedups):
        logged["tables/k_curve"] = table(speedups)
        drawn = speedups[(speedups["category"] == ALL) & speedups["speedup"].notna()]
        lines = {str(arm): part for arm, part in drawn.groupby("arm", sort=False)}
        logged["plots/speedup_by_k"] = wandb.plot.line_series(
            xs=[list(part["k"]) for part in lines.values()],
            ys=[list(part["speedup"]) for part in lines.values()],
            keys=list(lines),
            title="Decode speedup against k, from one run",
            xname="draft tokens per round (k)",
        )
    return logged


def table(frame: pd.DataFrame) -> Any:
    """The first TABLE_ROWS rows as a wandb table, with None for missing values."""
    import wandb

    shown = frame.head(TABLE_ROWS).astype(object)
    return wandb.Table(columns=list(shown.columns), data=shown.where(shown.notna(), None).values.tolist())


def arms_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """`described.arm_rows` as a wandb table, with the same columns in every run."""
    return table(pd.DataFrame(list(rows), columns=["target", "dataset", "batch_size", "arm", "k", *SHARED]))


def artifact(run_dir: Path, manifest: Mapping[str, Any]) -> Any:
    """The report and the raw files as a wandb artifact, a version of the results of its target and dataset."""
    import wandb

    about = {"arms": drafting_arms(manifest), "run_key": manifest.get("run_key"), "created": manifest.get("created")}
    content = wandb.Artifact(
        artifact_name("results", [manifest]), type="run", description="A run directory of the harness", metadata=about
    )
    for name in ARTIFACT_FILES:
        if (run_dir / name).is_file():
            content.add_file(str(run_dir / name), name=name)
    for name in CLEANED_FILES:
        if (run_dir / name).is_file():
            text = (run_dir / name).read_text(encoding="utf-8", errors="replace")
            with content.new_file(name, encoding="utf-8") as file:
                file.write(json.dumps(without_places(manifest), indent=1) if name == MANIFEST else without_places(text))
    return content
