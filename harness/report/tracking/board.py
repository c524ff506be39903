"""A sweep's leaderboard as a W&B run of its own, in the sweep's group: table, page, speedup against k, files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from harness.config import TrackingConfig
from harness.report.leaderboard.board import Leaderboard, is_void, together
from harness.report.leaderboard.page import NAME
from harness.report.names import is_control
from harness.report.tracking.described import SHARED, arm_rows, artifact_name, dataset_of, target_of
from harness.report.tracking.mirror import arms_table, page, table
from harness.report.tracking.tracker import choose_mode, link, start

JOB_TYPE = "leaderboard"
LINE = ("group", "dataset", "batch_size", "arm")


def track_leaderboard(config: TrackingConfig, board: Leaderboard, folder: Path) -> str:
    """Write the run from `board` and the leaderboard's files in `folder`; gives its link. Raises wandb's errors."""
    import wandb

    manifests = [run.manifest for run in board.runs]
    mode = choose_mode(config.mode)
    run = start(
        config,
        folder,
        mode,
        group=folder.name,
        job_type=JOB_TYPE,
        name=f"{JOB_TYPE} {folder.name}",
        tags=[JOB_TYPE, *(["synthetic"] if board.synthetic else [])],
        id=board_id(board),
        config={"targets": sorted({*map(target_of, manifests)}), "datasets": sorted({*map(dataset_of, manifests)})},
    )
    try:
        rows = [{**row, "run": one.label} for one in board.runs for row in arm_rows(one.summary, one.manifest)]
        run.define_metric("k", hidden=True)
        for name in SHARED:
            run.define_metric(name, step_metric="k", summary="none")
        for row in sorted(rows, key=lambda row: (str(row["arm"]), row["k"])):
            run.log(row)
        logged = {"tables/arms": arms_table(rows), "tables/leaderboard": table(board.overall)}
        lines = speedup_lines(board)
        if lines:
            logged["plots/speedup_by_k"] = wandb.plot.line_series(
                xs=[list(line) for line in lines.values()],
                ys=[list(line.values()) for line in lines.values()],
                keys=list(lines),
                title="Decode speedup against k",
                xname="draft tokens per round (k)",
            )
        run.log(logged | page(folder / f"{NAME}.html"))
        kept = wandb.Artifact(artifact_name(JOB_TYPE, manifests), type=JOB_TYPE)
        for path in sorted([*folder.glob(f"{NAME}*"), *folder.glob("sweep.csv")]):
            kept.add_file(str(path), name=path.name)
        run.log_artifact(kept, aliases=["latest", max(str(one.get("created") or "") for one in manifests)[:10]])
    finally:
        where = link(run, ended=True)
        run.finish()
    return where


def board_id(board: Leaderboard) -> str:
    """One id for all leaderboards of one sweep: its first job stays when others are added."""
    first = min(board.runs, key=lambda run: (len(run.label), run.label)).manifest
    born = first.get("uid") or f"{first.get('run_key')} {first.get('created')}"
    return hashlib.sha256(f"{born} {JOB_TYPE}".encode()).hexdigest()[:12]


def speedup_lines(board: Leaderboard) -> dict[str, dict[int, float]]:
    """Per arm its speedup at each k, of runs that may be compared; other settings are named where they differ."""
    usable = board.overall[~is_void(board.overall) & ~board.overall["kind"].map(is_control).astype(bool)]
    varying = [name for name in LINE[:-1] if usable[name].nunique() > 1]
    lines: dict[str, dict[int, float]] = {}
    for key, own in usable.groupby(list(LINE), sort=False):
        cell: dict[str, Any] = dict(zip(LINE, key if isinstance(key, tuple) else (key,), strict=True))
        name = ", ".join([str(cell["arm"]), *(f"{one} {cell[one]}" for one in varying)])
        by_k: dict[int, pd.DataFrame] = {int(str(k)): part for k, part in own.groupby("num_draft_tokens")}
        lines[name] = {k: together(part)["speedup_decode"] for k, part in sorted(by_k.items())}
    return lines
