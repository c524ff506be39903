"""The charts' data as tidy tables, to be drawn and written as CSV beside the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.metrics.definitions import BY_NAME, named
from harness.metrics.pairing import prompt_speedups
from harness.report.page.data import RunData
from harness.vocabulary import ALL

PARTS = ("draft", "verify", "other")


def speedups(run: RunData) -> pd.DataFrame:
    """Per drafting arm and category: the paired speedups and their intervals."""
    names = named(
        *("speedup_decode", "speedup_decode_low", "speedup_decode_high", "speedup_decode_words"),
        *("speedup_decode_token_weighted", "speedup_end_to_end", "predicted_speedup", "acceptance_length"),
        *("acceptance_rate", "decode_tok_s", "verdict", "paired_prompts", "paired_prompts_end_to_end"),
    )
    return _by_row(run, names, run.drafting)


def positions(run: RunData) -> pd.DataFrame:
    """Per drafting arm, category and draft position: both acceptance rates and their number of rounds."""
    lines = [
        {**_who(one), "category": category, "position": place, "unconditional": u, "conditional": c, "rounds": n}
        for one in run.drafting
        for category in (ALL, *run.categories)
        for place, (u, c, n) in enumerate(
            zip(
                run.row(one, category).get("position_unconditional") or [],
                run.row(one, category).get("position_conditional") or [],
                run.row(one, category).get("position_rounds") or [],
                strict=True,
            ),
            start=1,
        )
    ]
    columns = ["arm", "label", "num_draft_tokens", "category", "position", "unconditional", "conditional", "rounds"]
    return pd.DataFrame(lines, columns=columns).astype({"unconditional": float, "conditional": float})


def round_times(run: RunData) -> pd.DataFrame:
    """Per arm over all categories: milliseconds per round by part, and per emitted token."""
    table = _by_row(run, named(*(f"{part}_ms" for part in PARTS), "acceptance_length", "rounds"), run.series)
    table = table[table["category"] == ALL].drop(columns="category").reset_index(drop=True)
    for part in PARTS:
        table[f"{part}_ms_per_token"] = table[f"{part}_ms"] / table["acceptance_length"]
    return table


def prompts(run: RunData) -> pd.DataFrame:
    """Per prompt and drafting arm: speedups over the baseline and the prompt's own acceptance length.

    One row each: prompt_id, category, arm, label, num_draft_tokens, speedup_decode, speedup_end_to_end,
    acceptance_length, decode_tokens.
    """
    ratios = prompt_speedups(run.generations)
    labels = {one.key: one.label for one in run.series}
    keys = list(zip(ratios["dataset"], ratios["batch_size"], ratios["arm"], ratios["num_draft_tokens"], strict=True))
    ratios["label"] = [labels.get(key, key[2]) for key in keys]
    by = ["prompt_id", "arm"]
    lengths = run.rounds.groupby(by, observed=True)["emitted"].mean().rename("acceptance_length").reset_index()
    joined = ratios.merge(lengths.astype(dict.fromkeys(by, object)), on=by, how="left")
    columns = ["prompt_id", "category", "arm", "label", "num_draft_tokens"]
    figures = ["speedup_decode", "speedup_end_to_end", "acceptance_length", "decode_tokens"]
    return joined[[*columns, *figures]].replace([np.inf, -np.inf], np.nan)


def _by_row(run: RunData, names: Sequence[str], series: Any) -> pd.DataFrame:
    lines = [
        {**_who(one), "category": category, **{name: row.get(name) for name in names}}
        for one in series
        for category in (ALL, *run.categories)
        if (row := run.row(one, category))
    ]
    table = pd.DataFrame(lines, columns=["arm", "label", "num_draft_tokens", "category", *names])
    return table.astype({name: float for name in names if BY_NAME[name].unit != "text"})


def _who(one: Any) -> dict[str, Any]:
    return {"arm": one.arm, "label": one.label, "num_draft_tokens": one.num_draft_tokens}
