"""The paired times, computed generation by generation in plain Python."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from itertools import combinations
from statistics import fmean, median
from typing import Any

import pandas as pd
import pytest

from harness.metrics.pairing import paired_speedups, prompt_speedups, prompt_times
from harness.metrics.statistics import paired_speedup
from harness.records.rounds import UNTIMED
from tests.helpers.record_tables import tables

CELL = ("dataset", "batch_size", "category", "prompt_id")
ARMS = (("baseline", 0), ("dflash", 7), ("mtp", 3))
Prompt = tuple[Any, ...]


def a_run(seed: int, prompts: int = 30) -> list[dict[str, Any]]:
    """Generations of two datasets and batch sizes: turns, repeats, errors, tainted times, answers of one token."""
    rng = random.Random(seed)
    lines = []
    for index in range(prompts):
        shared = {"dataset": rng.choice(["maths", "code"]), "batch_size": rng.choice([1, 4])}
        shared |= {"prompt_id": f"p{index}", "category": rng.choice(["sums", "proofs"])}
        for arm, k in ARMS:
            for turn in range(1 + index % 2):
                for repeat in range(rng.randint(1, 3)):
                    lines.append(
                        {
                            **shared, "arm": arm, "num_draft_tokens": k, "turn": turn, "repeat": repeat,
                            "token_ids": [0] * (1 if rng.random() < 0.2 else rng.randint(2, 40)),
                            "prefill_s": rng.uniform(0.05, 0.5), "decode_s": rng.uniform(0.1, 0.9),
                            "status": "error" if rng.random() < 0.1 else "ok",
                            "taint": "stopped" if rng.random() < 0.1 else rng.choice([None, "", "busy"]),
                        }
                    )  # fmt: skip
    return lines


def frame(lines: list[dict[str, Any]]) -> pd.DataFrame:
    return tables([([], line) for line in lines])[1]


def per_prompt(lines: list[dict[str, Any]]) -> dict[tuple[Prompt, tuple[str, int]], dict[str, float]]:
    """The four columns of `prompt_times` by prompt and arm."""
    turns: dict[Any, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line["status"] == "ok" and line["taint"] not in UNTIMED:
            label = (line["arm"], line["num_draft_tokens"])
            turns[tuple(line[name] for name in CELL), label][line["repeat"]].append(line)
    most: dict[Prompt, int] = defaultdict(int)
    for (prompt, _), repeats in turns.items():
        most[prompt] = max(most[prompt], *(len(done) for done in repeats.values()))
    found = {}
    for (prompt, label), repeats in turns.items():
        whole = [done for done in repeats.values() if len(done) == most[prompt]]
        if not whole:
            continue
        found[prompt, label] = figures = {}
        for clock, before in (("decode", 1), ("end_to_end", 0)):
            counts = [sum(len(one["token_ids"]) - before for one in done) for done in whole]
            seconds = [sum(one["decode_s"] + (0 if before else one["prefill_s"]) for one in done) for done in whole]
            rates = [s / n for s, n in zip(seconds, counts, strict=True) if n]
            figures[f"{clock}_tokens"] = fmean(counts)
            figures[f"{clock}_s_per_token"] = median(rates) if rates else math.nan
    return found


@pytest.mark.parametrize("seed", range(3))
def test_times_per_prompt_are_sums_over_turns_and_medians_over_repeats(seed: int) -> None:
    lines = a_run(seed)
    times, wanted = prompt_times(frame(lines)), per_prompt(lines)
    found = {(tuple(key[:4]), tuple(key[4:])): dict(row) for key, row in times.iterrows()}
    assert found.keys() == wanted.keys()
    for key, figures in wanted.items():
        assert found[key] == pytest.approx(figures, nan_ok=True)
    assert times.index.names == [*CELL, "arm", "num_draft_tokens"]


def test_a_prompts_speedup_is_over_its_own_baseline() -> None:
    lines = a_run(1)
    wanted = per_prompt(lines)
    table = prompt_speedups(frame(lines))
    drafting = {key for key in wanted if key[1] != ARMS[0] and (key[0], ARMS[0]) in wanted}
    keys = [(row[:4], row[4:6]) for row in table.itertuples(index=False, name=None)]
    assert len(keys) == len(set(keys)) and set(keys) == drafting
    assert list(table) == [
        *CELL, "arm", "num_draft_tokens", "speedup_decode", "speedup_end_to_end", "decode_tokens",
    ]  # fmt: skip
    for key, row in zip(keys, table.to_dict("records"), strict=True):
        own, base = wanted[key], wanted[key[0], ARMS[0]]
        for clock in ("decode", "end_to_end"):
            ratio = base[f"{clock}_s_per_token"] / own[f"{clock}_s_per_token"]
            assert row[f"speedup_{clock}"] == pytest.approx(ratio, nan_ok=True)
        assert row["decode_tokens"] == own["decode_tokens"]


def compared(
    wanted: dict[Any, dict[str, float]], prompts: list[Prompt], arm: Any, other: Any, **settings: Any
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for clock in ("decode", "end_to_end"):
        columns = []
        for label in (other, arm):
            each = [wanted[prompt, label] for prompt in prompts]
            columns += [[one[f"{clock}_s_per_token"] * one[f"{clock}_tokens"] for one in each]]
            columns += [[one[f"{clock}_tokens"] for one in each]]
        speedup, name = paired_speedup(*columns, **settings), f"speedup_{clock}"
        assert speedup is not None
        row[f"{name}_words"] = speedup.words
        for part, one in ((name, speedup.geometric_mean), (f"{name}_token_weighted", speedup.token_weighted)):
            row |= {part: one.value, f"{part}_low": one.low, f"{part}_high": one.high}
        row["paired_prompts" if clock == "decode" else "paired_prompts_end_to_end"] = speedup.prompts
        if clock == "decode":
            row["unequal_token_prompts"] = speedup.unequal_prompts
    return row


def test_every_comparison_is_made_once_and_over_the_prompts_that_both_finished() -> None:
    lines, settings = a_run(2, prompts=80), {"confidence": 0.9, "resamples": 50, "seed": 3}
    wanted = per_prompt(lines)
    rows = paired_speedups(frame(lines), **settings).to_dict("records")
    expected = []
    for place in sorted({prompt[:2] for prompt, _ in wanted}):
        for other, arm in [(ARMS[0], ARMS[1]), (ARMS[0], ARMS[2]), *((b, a) for a, b in combinations(ARMS[1:], 2))]:
            both = sorted(p for p, label in wanted if label == arm and p[:2] == place and (p, other) in wanted)
            for category in ("all", "proofs", "sums"):
                prompts = [p for p in both if category in ("all", p[2])]
                cell = {"dataset": place[0], "batch_size": place[1], "category": category}
                cell |= {"arm": arm[0], "num_draft_tokens": arm[1]}
                cell |= {"other": other[0], "other_num_draft_tokens": other[1]}
                cell |= {"processes": 1, "speedup_decode_run_spread": None}
                expected.append(cell | compared(wanted, prompts, arm, other, **settings))
    assert len(rows) == len(expected) == 4 * 3 * 3
    for row, one in zip(rows, expected, strict=True):
        assert row.keys() == one.keys()
        for name, value in one.items():
            known = math.nan if value is None else value
            assert row[name] == (known if isinstance(known, str) else pytest.approx(known, nan_ok=True)), name


def test_a_prompt_without_a_decoded_token_counts_for_one_clock_alone() -> None:
    line = {"dataset": "d", "prompt_id": "p", "category": "c", "token_ids": [0], "prefill_s": 0.1, "decode_s": 0.0}
    (row,) = (
        one
        for one in paired_speedups(frame([line | {"arm": arm} for arm in ("baseline", "mtp")])).to_dict("records")
        if one["category"] == "all"
    )
    assert (row["paired_prompts"], row["paired_prompts_end_to_end"], row["unequal_token_prompts"]) == (0, 1, 0)
    assert row["speedup_decode"] is row["speedup_decode_low"] is row["speedup_decode_words"] is None
    assert (row["speedup_end_to_end"], row["speedup_end_to_end_words"]) == (1.0, "not distinguishable")


def test_nothing_to_compare_gives_a_table_with_its_key_columns() -> None:
    alone = frame([{"dataset": "d", "prompt_id": "p", "category": "c", "arm": "mtp", "token_ids": [0, 1]}])
    found = paired_speedups(alone)
    assert list(found) == ["dataset", "category", "batch_size", "arm", "num_draft_tokens", "other"]
    assert found.empty
