"""Every figure of every cell, computed generation by generation in plain Python, on runs that cover every case."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.metrics.cells import CELL, cell_metrics, generation_index
from harness.metrics.definitions import DEFINITIONS
from harness.records.rounds import TAINTS, UNTIMED
from tests.helpers.lines import whole
from tests.helpers.record_tables import record, tables

Record = tuple[list[dict[str, Any]], dict[str, Any]]
NAN = math.nan
COUNTS = {one.name for one in DEFINITIONS if one.unit in ("count", "tokens")} - {"thinking_tokens"}


def a_run(seed: int) -> list[Record]:
    """Two datasets, two batch sizes, three categories, errors, tainted times, an engine that reports no rounds."""
    rng = random.Random(seed)
    records: list[Record] = []
    for index in range(24):
        shared = {"dataset": rng.choice(["maths", "code"]), "batch_size": rng.choice([1, 4])}
        shared |= {"category": rng.choice(["sums", "all", "Proofs"])}
        for arm, k, turn, repeat in (
            ("baseline", 0, 0, 0), ("baseline", 0, 1, 0), ("baseline", 0, 0, 1),
            ("mtp", 3, 0, 0), ("mtp", 3, 1, 0), ("apart", 3, 0, 0),
        ):  # fmt: skip
            failed, silent = rng.random() < 0.15, arm == "apart" and rng.random() < 0.5
            drafted = [rng.randint(0, k) for _ in range(0 if silent else rng.randint(0, 8))]
            rounds = [(d, a, rng.randint(1, a + 1)) for d, a in ((d, rng.randint(0, d)) for d in drafted)]
            lines, generation = record(f"p{index}", arm, rounds, turn=turn, repeat=repeat, num_draft_tokens=k, **shared)
            for line in lines:
                line |= {f"{part}_s": rng.uniform(0.001, 0.02) for part in ("draft", "verify", "other")}
            tokens = rng.randint(1, 30) if silent else len(generation["token_ids"])
            generation |= {
                "engine": "vllm" if arm == "apart" else "harness",
                "token_ids": rng.choices(range(rng.choice([1, 2, 99])), k=tokens),
                "status": "error" if failed else "ok",
                "finish_reason": rng.choice(["eos", "length", None]),
                "verdict": rng.choice([None, "exact", "exact", "tie"] + ["mismatch"] * (index % 5 == 0)),
                "prefill_s": rng.uniform(0.05, 0.5),
                "decode_s": rng.uniform(0.1, 0.9),
                "wall_share_s": None if rng.random() < 0.05 else rng.uniform(0.1, 0.9),
                "taint": rng.choice([None, None, "", "", "", *TAINTS]),
                "peak_memory_bytes": None if arm == "mtp" else rng.randint(1, 10**9),
                "score": rng.choice([None, 0.0, 1.0]),
                "thinking_tokens": rng.choice([None, 0, 7]),
            }
            records.append((lines, generation))
    return records


def over(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else NAN


def total(values: list[Any]) -> float:
    """The sum of the known values; NaN if all are unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known else NAN


def grams(ids: list[int]) -> tuple[int, int]:
    """Counts of 8-grams that occurred earlier in these ids, and of all 8-grams."""
    found = [tuple(ids[start : start + 8]) for start in range(len(ids) - 7)]
    return len(found) - len(set(found)), len(found)


def positions(rounds: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"rounds": [], "unconditional": [], "conditional": []}
    for j in range(1, max((one["drafted"] for one in rounds), default=0) + 1):
        deep = [one["accepted"] for one in rounds if one["drafted"] >= j]
        accepted = sum(a >= j for a in deep)
        found["rounds"].append(len(deep))
        found["unconditional"].append(accepted / len(deep))
        found["conditional"].append(over(accepted, sum(a >= j - 1 for a in deep)))
    return found


def figures(records: list[Record]) -> dict[str, Any]:
    """The figures of one cell that do not need another cell."""
    ok = [one for one in records if one[1]["status"] == "ok"]
    reported = [one for one in ok if one[1]["engine"] == "harness" or one[0] or len(one[1]["token_ids"]) == 1]
    timed = [one for one in ok if one[1]["taint"] not in UNTIMED]
    measured = [one for one in timed if one in reported]
    rounds = [line for lines, _ in ok for line in lines]
    lengths = [len(one["token_ids"]) for _, one in ok]
    per_prompt: dict[str, list[int]] = defaultdict(list)
    for lines, one in ok:
        per_prompt[one["prompt_id"]] += [line["emitted"] for line in lines]
    n, drafting = len(rounds), sum(line["drafted"] > 0 for line in rounds)
    drafted, accepted, emitted = (sum(line[name] for line in rounds) for name in ("drafted", "accepted", "emitted"))
    repeated, ngrams = (sum(grams(one["token_ids"])[part] for _, one in ok) for part in (0, 1))
    scores = [one["score"] for _, one in ok if one["score"] is not None]
    thoughts = [one["thinking_tokens"] for _, one in ok if one["thinking_tokens"] is not None]
    verdicts = [one["verdict"] for _, one in ok]
    found: dict[str, Any] = {
        "errors": len(records) - len(ok),
        "prompts": len({one["prompt_id"] for _, one in ok}),
        "generations": len(ok),
        "tainted": sum(bool(one["taint"]) for _, one in ok),
        "untimed": len(ok) - len(timed),
        "rounds": n,
        "unreported": sum(len(one["token_ids"]) - 1 for lines, one in ok if (lines, one) not in reported),
        "tokens": sum(lengths),
        "drafted": drafted, "accepted": accepted, "emitted": emitted, "drafting_rounds": drafting,
        "finish_eos": sum(one["finish_reason"] == "eos" for _, one in ok),
        "finish_length": sum(one["finish_reason"] == "length" for _, one in ok),
        "truncated_share": over(sum(one["finish_reason"] == "length" for _, one in ok), len(ok)),
        "verdict": next((kind for kind in ("mismatch", "tie", "exact") if kind in verdicts), "none"),
        "verdict_none": verdicts.count(None),
        "acceptance_length": over(emitted, n),
        "acceptance_length_prompt_mean": fmean([fmean(each) for each in per_prompt.values() if each] or [NAN]),
        "acceptance_length_raw": 1 + over(accepted, n),
        "acceptance_rate": over(accepted, drafted),
        "mean_drafted": over(drafted, n),
        "verified_slots_used": over(emitted, drafted + n),
        "al_as_vllm": 1 + over(accepted, drafting),
        "al_as_specbench": 1 + over(accepted, n),
        "al_as_dflash": fmean([fmean(line["emitted"] for line in lines) for lines, _ in ok if lines] or [NAN]),
        "al_as_gptfast": over(accepted, n),
        "al_as_specforge": over(sum(len(one["token_ids"]) for _, one in reported), n),
        "accuracy": fmean(scores or [NAN]),
        "scored": len(scores),
        "thinking_tokens": total(thoughts),
        "repeated": repeated, "ngrams": ngrams,
        "repeated_8grams": over(repeated, ngrams),
        "looping_generations": sum(2 * r > all_of for r, all_of in (grams(one["token_ids"]) for _, one in ok)),
        "peak_memory_bytes": max((one["peak_memory_bytes"] for _, one in ok if one["peak_memory_bytes"]), default=NAN),
    }  # fmt: skip
    found |= {f"verdict_{kind}": verdicts.count(kind) for kind in ("exact", "tie", "mismatch")}
    found |= {f"taint_{word}": sum(one["taint"] == word for _, one in ok) for word in TAINTS}
    found |= {f"position_{name}": values for name, values in positions(rounds).items()}
    return found | speeds(timed, measured)


def speeds(timed: list[Record], measured: list[Record]) -> dict[str, Any]:
    """`timed` have decode times, `measured` have rounds as well."""
    tokens = sum(len(one["token_ids"]) for _, one in timed)
    decode_s, prefill_s, wall_s = (
        total([one[name] for _, one in timed]) for name in ("decode_s", "prefill_s", "wall_share_s")
    )
    prefills = [one["prefill_s"] for _, one in timed]
    rounds = [line for lines, _ in timed for line in lines]
    parts = {part: sum(line[f"{part}_s"] for line in rounds) for part in ("draft", "verify", "other")}
    known = all(one["wall_share_s"] is not None for _, one in timed)
    found = {
        "decode_tok_s": over(tokens - len(timed), decode_s),
        "end_to_end_tok_s": over(tokens, prefill_s + decode_s),
        "throughput_tok_s": over(tokens, wall_s) if known else NAN,
        "ttft_ms": 1e3 * median(prefills or [NAN]),
        "ttft_p95_ms": 1e3 * float(np.quantile(prefills or [NAN], 0.95)),
        "round_s": over(sum(parts.values()), len(rounds)),
        "unattributed_share": (
            1 - over(sum(parts.values()), sum(one["decode_s"] for _, one in measured)) if rounds else NAN
        ),
    }
    return found | {f"{part}_ms": 1e3 * over(seconds, len(rounds)) for part, seconds in parts.items()}


def beside_the_baseline(found: dict[str, Any], base: dict[str, Any]) -> None:
    step = base["round_s"]
    found["decode_step_ms"] = 1e3 * step
    for part in ("draft", "verify", "other"):
        found[f"c_{part}"] = found[f"{part}_ms"] / 1e3 / step
    found["predicted_speedup"] = found["acceptance_length"] / (found["round_s"] / step)
    found["peak_memory_over_baseline_bytes"] = found["peak_memory_bytes"] - base["peak_memory_bytes"]


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted if isinstance(wanted, str) else found == pytest.approx(wanted, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_every_figure_of_every_cell_is_its_definition(seed: int) -> None:
    records = a_run(seed)
    parts: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for lines, one in records:
        name = "all (category)" if one["category"] == "all" else one["category"]
        for category in ("all", name):
            key = (one["dataset"], one["batch_size"], category, one["arm"], one["num_draft_tokens"])
            parts[key].append((lines, one))
    # `all` before the categories, the baseline before the drafters.
    order = sorted(parts, key=lambda key: (*key[:2], key[2] != "all", key[2], key[3] != "baseline", *key[3:]))
    cells = cell_metrics(*tables(records))
    columns = ["dataset", "batch_size", "category", "arm", "num_draft_tokens"]
    assert list(cells[columns].itertuples(index=False, name=None)) == order
    assert cells.index.tolist() == list(range(len(order)))
    assert tuple(cells)[:5] == CELL
    wanted = {key: figures(parts[key]) for key in order}
    for key, row in zip(order, cells.to_dict("records"), strict=True):
        beside_the_baseline(wanted[key], wanted[(*key[:3], "baseline", 0)])
        for name in wanted[key].keys() - {"round_s"}:
            assert isinstance(row[name], int) or name not in COUNTS, (name, row[name])
            assert same(row[name], wanted[key][name]), (key, name, row[name], wanted[key][name])


def test_the_generated_run_covers_every_case() -> None:
    """Otherwise the comparison above would compare blanks with blanks."""
    cells = cell_metrics(*tables([one for seed in range(3) for one in a_run(seed)][: 24 * 6]))
    for name in ("errors", "tainted", "untimed", "unreported", "finish_eos", "looping_generations", "verdict_mismatch"):
        assert cells[name].max() > 0, name
    for name in ("throughput_tok_s", "unattributed_share", "predicted_speedup", "peak_memory_over_baseline_bytes"):
        assert cells[name].notna().any(), name


def test_a_division_by_zero_gives_no_figure() -> None:
    records = [
        record("p", "baseline", [(0, 0, 1)], (0.0, 0.0, 0.0), prefill_s=0.0),
        record("p", "mtp", [], num_draft_tokens=4, status="error", token_ids=[]),
        record("p", "timeless", [(2, 1, 2)], decode_s=0.0),
    ]
    cells = cell_metrics(*tables(records))
    still, lost = (cells[(cells["arm"] == arm) & (cells["category"] == "all")].iloc[0] for arm in ("baseline", "mtp"))
    timeless = ["decode_tok_s", "end_to_end_tok_s", "unattributed_share", "decode_step_ms", "c_verify"]
    assert still[[*timeless, "acceptance_rate", "predicted_speedup", "repeated_8grams"]].isna().all()
    assert still["verify_ms"] == still["ttft_ms"] == 0.0
    assert (lost["errors"], lost["generations"], lost["verdict_none"], lost["scored"]) == (1, 0, 0, 0)
    assert lost[[*timeless, "truncated_share", "accuracy", "verify_ms"]].isna().all()
    assert lost["position_rounds"] == []
    assert cells.loc[cells["arm"] == "timeless", ["decode_tok_s", "unattributed_share"]].isna().all(axis=None)


def test_an_impossible_round_is_named_whole() -> None:
    rounds, generations = tables([record("p7", "mtp", [(2, 1, 2), (2, 3, 1), (2, 1, 3)])])
    line = (
        "2 rounds are impossible, the first: prompt p7, arm mtp, round 1: drafted 2, accepted 3, emitted 1; "
        "expected 0 <= accepted <= drafted and 1 <= emitted <= accepted + 1"
    )
    with pytest.raises(ValueError, match=whole(line)):
        cell_metrics(rounds, generations)


def as_they_are(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"prompt_id": "category", "arm": "category"})


@pytest.mark.parametrize("read", [as_they_are, as_categories])
def test_each_round_finds_its_generation(read: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    records = [record(f"p{n}", arm, [(2, 1, 2)] * (n % 3)) for n in range(100) for arm in ("mtp", "lookup")]
    rounds, generations = tables(records)
    shuffled = rounds.sample(frac=1, random_state=0)
    owner = generation_index(read(shuffled), generations)
    assert generations["prompt_id"].to_numpy()[owner].tolist() == shuffled["prompt_id"].tolist()
    assert generations["arm"].to_numpy()[owner].tolist() == shuffled["arm"].tolist()
    for column, value in (("repeat", 7), ("prompt_id", "q")):
        lost = rounds.copy()
        lost.loc[[90, 91], column] = value
        key = lost.iloc[90][["prompt_id", "turn", "arm", "repeat"]].to_dict()
        with pytest.raises(ValueError, match=whole(f"2 rounds have no generation, the first: {key}")):
            generation_index(read(lost), generations)


def test_a_duplicate_generation_is_named() -> None:
    rounds, generations = tables([record("p", "mtp", [(2, 1, 2)])] * 2)
    key = {"prompt_id": "p", "turn": 0, "arm": "mtp", "repeat": 0}
    with pytest.raises(ValueError, match=whole(f"generations: {key} appears more than once, expected one row each")):
        generation_index(rounds, generations)
    # Tables of several runs name the run of each line.
    runs = generations.assign(run=["a", "b"])
    assert generation_index(rounds.assign(run=["b", "a"]), runs).tolist() == [1, 0]
