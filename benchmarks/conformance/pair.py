"""One run of the embedded models with both engines, held against each other: tokens, counters, rounds."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.config import RunConfig
from harness.engines.counters import PER_POSITION
from harness.metrics.engines import Counts, as_counted
from harness.records.frames import read_generations, read_rounds
from harness.run import run

Counters = dict[str, Any]


def rounds_by_place(rounds: pd.DataFrame, arm: str, max_new_tokens: int | None) -> dict[tuple[str, int], Counts]:
    """Drafted, accepted and emitted tokens of an arm's rounds, by prompt and anchor position.

    `max_new_tokens` counts them as llama.cpp does (`as_counted`), None as they were recorded.
    """
    found: dict[tuple[str, int], Counts] = {}
    for prompt, one in rounds[rounds["arm"] == arm].sort_values("position").groupby("prompt_id"):
        counts = list(one[["drafted", "accepted", "emitted"]].itertuples(index=False, name=None))
        counts = counts if max_new_tokens is None else as_counted(counts, max_new_tokens)
        found |= {(str(prompt), int(at)): count for at, count in zip(one["position"], counts, strict=True)}
    return found


def counters_of(rounds: pd.DataFrame, arm: str, k: int, max_new_tokens: int | None = None) -> Counters:
    """An engine's counters as computed from an arm's rounds."""
    counts = rounds_by_place(rounds, arm, max_new_tokens).values()
    drafting = [(drafted, accepted) for drafted, accepted, _ in counts if drafted]
    return {
        "num_drafts": len(drafting),
        "num_draft_tokens": sum(drafted for drafted, _ in drafting),
        "num_accepted_tokens": sum(accepted for _, accepted in drafting),
        PER_POSITION: [sum(accepted > place for _, accepted in drafting) for place in range(k)],
    }


def reported_counters(generations: pd.DataFrame, arm: str) -> Counters:
    """The engine's own counters around each request, summed over an arm."""
    total: Counters = {}
    for one in generations.loc[generations["arm"] == arm, "engine_counters"]:
        for name, value in (one or {}).items():
            old = total.get(name)
            if isinstance(value, list):
                total[name] = [a + b for a, b in zip(value, old or [0] * len(value), strict=True)]
            else:
                total[name] = value + (old or 0)
    return total


def equal_answers(generations: pd.DataFrame, arm: str, other: str) -> tuple[int, int]:
    """Prompts whose answers by both arms are equal, and all prompts."""
    tokens = {(row.prompt_id, row.arm): list(row.token_ids or []) for row in generations.itertuples()}
    prompts = sorted({prompt for prompt, _ in tokens})
    return sum(tokens.get((p, arm)) == tokens.get((p, other)) != [] for p in prompts), len(prompts)


def compare(
    run_dir: Path, arms: Sequence[str], engine: str, max_new_tokens: int | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Both engines' counters per arm, and every difference in words; `max_new_tokens` as in `rounds_by_place`.

    Lookup is not compared: each engine searches in its own way.
    """
    generations, rounds = read_generations(run_dir), read_rounds(run_dir)
    found, wrong = [], []
    for arm in arms:
        theirs = f"{engine}_{arm}"
        equal, prompts = equal_answers(generations, arm, theirs)
        k = int(generations.loc[generations["arm"] == arm, "num_draft_tokens"].max())
        ours, other = counters_of(rounds, arm, k, max_new_tokens), counters_of(rounds, theirs, k)
        row = {"arm": arm, "equal_tokens": equal, "prompts": prompts, "harness": ours, engine: other}
        if equal < prompts:
            wrong.append(f"{arm}: {prompts - equal} of {prompts} answers differ")
        if arm != "baseline":
            row["metrics"] = reported_counters(generations, theirs)
            wrong += [f"{arm}: {name} is {ours[name]} here and {other[name]} in {engine}" for name in ours if
                      arm != "lookup" and ours[name] != other[name]]  # fmt: skip
            wrong += [f"{arm}: {engine}'s metrics say {value} {name}, its rounds {other[name]}" for name, value in
                      row["metrics"].items() if name in other and value != other[name]]  # fmt: skip
        found.append(row)
    return found, wrong


def show(rows: Sequence[Mapping[str, Any]], engine: str) -> None:
    for row in rows:
        print(f"{row['arm']}: {row['equal_tokens']} of {row['prompts']} answers equal")
        for side in ("harness", engine, "metrics"):
            counts = row.get(side) or {}
            if row["arm"] == "baseline" or not counts:
                continue
            drafts, accepted = counts["num_drafts"], counts["num_accepted_tokens"]
            tau = 1 + accepted / drafts if drafts else 1.0
            print(
                f"  {side:13} drafts {drafts:6} drafted {counts['num_draft_tokens']:7} accepted {accepted:6} "
                f"length {tau:.3f} per position {counts[PER_POSITION]}"
            )


def add_arguments(parser: argparse.ArgumentParser, prompts: int, new_tokens: int) -> None:
    parser.add_argument("--prompts", type=int, default=prompts)
    parser.add_argument("--new-tokens", type=int, default=new_tokens)
    parser.add_argument("--out", type=Path, help="keep the run here; the same folder continues it")


def run_and_compare(
    config: RunConfig,
    out: Path | None,
    engine: str,
    judged: Callable[[Path], tuple[list[dict[str, Any]], list[str]]],
) -> int:
    """Run or continue, print both engines' counts and every difference; the last line is JSON. Gives the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch) / "run"
        outcome = run(config, folder)
        rows, wrong = judged(folder)
    show(rows, engine)
    for line in wrong:
        print(f"DIFFERS {line}")
    if outcome.error:
        print(f"run: {outcome.error}")
    failed = bool(wrong) or outcome.exit_code != 0
    print(json.dumps({"exit_code": int(failed), "rows": rows, "differences": wrong}))
    return int(failed)
