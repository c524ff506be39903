"""The history of a finished run: a row per prompt, then a row per arm, each over an axis of its own."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.metrics.pairing import prompt_speedups, prompt_times
from harness.records.frames import KEY
from harness.report.names import known
from harness.report.tracking.described import SHARED, SHOWN
from harness.vocabulary import OK

PROMPT = "prompt"  # the axis: 1 for the first prompt of the record
PROMPTS = "prompts/"  # before `<arm>/<figure>`


def prompt_rows(generations: pd.DataFrame, rounds: pd.DataFrame) -> list[dict[str, Any]]:
    """`prompt`, and per arm `prompts/<arm>/decode_tok_s`, `.../speedup_decode` and `.../acceptance_length`.

    In the order in which prompts were decoded; turns and repeats as metrics.pairing takes them together.
    """
    done = generations[generations["status"] == OK]
    if not len(done):
        return []
    figures: dict[str, dict[str, float]] = {prompt: {} for prompt in dict.fromkeys(done["prompt_id"])}
    times = prompt_times(done).reset_index()
    speeds = prompt_speedups(done)
    whole = rounds.merge(done[list(KEY)], on=list(KEY))
    lengths = whole.groupby(["prompt_id", "arm"], observed=True)["emitted"].mean().rename("acceptance_length")
    parts = (
        times.assign(decode_tok_s=1 / times["decode_s_per_token"])[["prompt_id", "arm", "decode_tok_s"]],
        speeds[["prompt_id", "arm", "speedup_decode"]],
        lengths.reset_index(),
    )
    for part in parts:
        name = str(part.columns[-1])
        for prompt, arm, value in part.itertuples(index=False):
            if known(value):
                figures[prompt][f"{PROMPTS}{arm}/{name}"] = float(value)
    return [{PROMPT: number, **own} for number, own in enumerate(figures.values(), start=1)]


def define(run: Any, arms: list[str]) -> None:
    """Give every key its axis, and hide those of `<arm>/<figure>` that would be a panel with one dot."""
    run.define_metric(PROMPT, hidden=True, summary="none")
    run.define_metric(f"{PROMPTS}*", step_metric=PROMPT, summary="none")
    run.define_metric("k", hidden=True, summary="none")
    run.define_metric("arm", hidden=True, summary="none")
    for name in SHARED:
        run.define_metric(name, step_metric="k", summary="none")
    for arm in arms:
        run.define_metric(f"{arm}/*", hidden=True)
        for name in SHOWN:
            run.define_metric(f"{arm}/{name}")


