"""Pairs the times of two arms prompt by prompt, after the median over repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from harness.metrics.certainty.processes import across_processes, influence
from harness.metrics.statistics import CONFIDENCE, RESAMPLES, SEED, Estimate, paired_speedup
from harness.records.frames import with_defaults
from harness.records.rounds import UNTIMED
from harness.vocabulary import ALL, BASELINE, OK

CLOCKS = ("decode", "end_to_end")
#: The count of prompts beside each clock's speedup.
PROMPT_COUNTS = {"decode": "paired_prompts", "end_to_end": "paired_prompts_end_to_end"}
PROMPT = ["dataset", "batch_size", "category", "prompt_id"]
LABEL = ["arm", "num_draft_tokens"]


def prompt_times(generations: pd.DataFrame) -> pd.DataFrame:
    """Per prompt and arm: `decode_tokens`, `end_to_end_tokens` and the seconds per token beside them.

    Index dataset, batch_size, category, prompt_id, arm, num_draft_tokens. The turns of a conversation are summed within
    a repeat; a repeat that lacks a turn (an error, or an UNTIMED generation) is left out. Seconds per token
    are the median over repeats, token counts the mean over repeats.
    """
    table = with_defaults(generations)
    table = table[(table["status"] == OK) & ~table["taint"].isin(UNTIMED)]
    table = table.assign(
        decode_tokens=table["new_tokens"] - 1,
        end_to_end_tokens=table["new_tokens"],
        end_to_end_s=table["prefill_s"] + table["decode_s"],
    )
    generations_of = table.groupby([*PROMPT, *LABEL, "repeat"])
    turns = generations_of.size()
    repeats = generations_of[[f"{clock}_{kind}" for clock in CLOCKS for kind in ("tokens", "s")]].sum()
    repeats = repeats[turns == turns.groupby(level=PROMPT).transform("max")]
    for clock in CLOCKS:
        tokens = repeats[f"{clock}_tokens"]
        repeats[f"{clock}_s_per_token"] = repeats[f"{clock}_s"] / tokens.where(tokens > 0)
    grouped = repeats.groupby(level=[*PROMPT, *LABEL])
    return pd.concat(
        [
            grouped[[f"{clock}_tokens" for clock in CLOCKS]].mean(),
            grouped[[f"{clock}_s_per_token" for clock in CLOCKS]].median(),
        ],
        axis=1,
    )


def prompt_speedups(generations: pd.DataFrame) -> pd.DataFrame:
    """Per prompt and drafting arm, `speedup_decode` and `speedup_end_to_end` over the baseline, as a flat table.

    A prompt without a finished baseline is left out.
    """
    times = prompt_times(generations).reset_index()
    base = times[times["arm"] == BASELINE].drop(columns=LABEL)
    joined = times[times["arm"] != BASELINE].merge(base, on=PROMPT, suffixes=("", "_base"))
    for clock in CLOCKS:
        joined[f"speedup_{clock}"] = joined[f"{clock}_s_per_token_base"] / joined[f"{clock}_s_per_token"]
    return joined[[*PROMPT, *LABEL, *(f"speedup_{clock}" for clock in CLOCKS), "decode_tokens"]]


def paired_speedups(
    generations: pd.DataFrame, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> pd.DataFrame:
    """Every arm against the baseline, and every two drafting arms against each other, per category and over `all`.

    One row per comparison: dataset, category, batch_size, arm, num_draft_tokens, other, other_num_draft_tokens, and
    the `speedup` figures of harness/metrics/definitions.py (how many times faster `arm` is than `other`).
    """
    times = prompt_times(generations)
    table = with_defaults(generations)
    numbers = sorted(table["process"].unique())
    per_process: list[Labelled] = []
    if len(numbers) > 1:
        per_process = [_labelled(prompt_times(table[table["process"] == one])) for one in numbers]
    rows = [
        {**cell, **_compare(arm, other, confidence, resamples, seed), **_across(per_process, cell, arm, confidence)}
        for cell, arm, other in _comparisons(times)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["dataset", "category", "batch_size", *LABEL, "other"])


Labelled = dict[Any, dict[Any, pd.DataFrame]]


def _labelled(times: pd.DataFrame) -> Labelled:
    """`prompt_times` by dataset and batch size, then by arm and k, each indexed by category and prompt."""
    return {
        where: {label: part.droplevel(["dataset", "batch_size", *LABEL]) for label, part in block.groupby(level=LABEL)}
        for where, block in times.groupby(level=["dataset", "batch_size"])
    }


def _across(
    per_process: Sequence[Labelled], cell: dict[str, Any], arm: pd.DataFrame, confidence: float
) -> dict[str, Any]:
    """The figures of a comparison over processes and prompts, in place of those over prompts alone.

    A process with less than half of the prompts, one that was cut off, is left out; so is a prompt that any other
    process lacks. With a single process nothing takes their place.
    """
    figures: dict[str, Any] = {"processes": 1, "speedup_decode_run_spread": math.nan}
    where = (cell["dataset"], cell["batch_size"])
    labels = (cell["arm"], cell["num_draft_tokens"]), (cell["other"], cell["other_num_draft_tokens"])
    pairs = []
    for tables in per_process:
        own = [tables.get(where, {}).get(label) for label in labels]
        if own[0] is None or own[1] is None:
            continue
        both = own[0].index.intersection(own[1].index).intersection(arm.index)
        if 2 * len(both) >= len(arm):
            pairs.append((own[0].loc[both], own[1].loc[both]))
    if len(pairs) < 2:
        return figures
    figures["processes"] = len(pairs)
    for clock in CLOCKS:
        tokens, name = f"{clock}_tokens", f"speedup_{clock}"
        # [R, P]: seconds per token of both arms in every process, NaN where a process lacks the prompt
        mine, theirs = (
            pd.concat([pair[side][f"{clock}_s_per_token"] for pair in pairs], axis=1).to_numpy().T for side in (0, 1)
        )
        counts = pd.concat([pair[1][tokens] for pair in pairs], axis=1).to_numpy().T
        whole = ((mine > 0) & (theirs > 0)).all(axis=0)  # seconds per token of no token are NaN
        if not whole.any():
            continue
        mine, theirs, counts = mine[:, whole], theirs[:, whole], counts[:, whole]
        mean = across_processes(np.log(theirs / mine), confidence)
        weighted = across_processes(influence(theirs * counts, mine * counts), confidence)
        figures |= _flat(name, mean.estimate) | _flat(f"{name}_token_weighted", weighted.estimate)
        figures[f"{name}_words"] = mean.estimate.words
        if clock == "decode":
            figures["speedup_decode_run_spread"] = mean.spread
    return figures


def process_speedups(generations: pd.DataFrame) -> list[dict[str, Any]]:
    """The decode speedup of each process by itself, one row per comparison over all categories."""
    table, found = with_defaults(generations), []
    for number in sorted(table["process"].unique()):
        for cell, arm, other in _comparisons(prompt_times(table[table["process"] == number]), whole=True):
            ratios = (other["decode_s_per_token"] / arm["decode_s_per_token"]).dropna()
            if len(ratios):
                found.append({**cell, "process": int(number), "speedup": float(np.exp(np.log(ratios).mean()))})
    return found


def _comparisons(
    times: pd.DataFrame, *, whole: bool = False
) -> Iterator[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]:
    """Per comparison: the cell, the arm's times and the other's, both indexed by category and prompt.

    With `whole`, over all categories alone.
    """
    for (dataset, batch_size), labels in _labelled(times).items():
        drafting = [label for label in labels if label[0] != BASELINE]
        against_baseline = [(label, base) for label in drafting for base in labels if base[0] == BASELINE]
        for label, other in [*against_baseline, *combinations(drafting, 2)]:
            both = labels[label].index.intersection(labels[other].index)
            mine, theirs = labels[label].loc[both], labels[other].loc[both]
            of_prompt = both.get_level_values("category").to_numpy(dtype=object)
            for category in [ALL] if whole else [ALL, *sorted(set(of_prompt))]:
                chosen = slice(None) if category == ALL else of_prompt == category
                cell = {
                    "dataset": dataset,
                    "category": category,
                    "batch_size": batch_size,
                    "arm": label[0],
                    "num_draft_tokens": label[1],
                    "other": other[0],
                    "other_num_draft_tokens": other[1],
                }
                yield cell, mine[chosen], theirs[chosen]


def _compare(
    arm: pd.DataFrame, other: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> dict[str, Any]:  # fmt: skip
    figures: dict[str, Any] = {}
    for clock in CLOCKS:
        columns = []
        for table in (other, arm):
            seconds, tokens = (table[f"{clock}_{kind}"].to_numpy() for kind in ("s_per_token", "tokens"))
            columns += [seconds * tokens, tokens]
        speedup = paired_speedup(*columns, confidence=confidence, resamples=resamples, seed=seed)
        name = f"speedup_{clock}"
        figures |= _flat(name, speedup.geometric_mean if speedup else None)
        figures[f"{name}_words"] = speedup.words if speedup else None
        figures |= _flat(f"{name}_token_weighted", speedup.token_weighted if speedup else None)
        # The two clocks may leave out different prompts, so each has its own count.
        figures[PROMPT_COUNTS[clock]] = speedup.prompts if speedup else 0
        if clock == "decode":
            figures["unequal_token_prompts"] = speedup.unequal_prompts if speedup else 0
    return figures


def _flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    low, high, value = (estimate.low, estimate.high, estimate.value) if estimate else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
