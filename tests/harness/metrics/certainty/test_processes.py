"""Intervals over processes and prompts, and the words on the variation from run to run."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import t as student

from harness.metrics.certainty.processes import across_processes, influence, student_bound
from harness.metrics.certainty.run_to_run import run_to_run
from harness.metrics.pairing import paired_speedups, process_speedups
from harness.report.names import run_to_run_text

tables = st.tuples(st.integers(2, 5), st.integers(5, 12), st.integers(0, 999)).map(
    lambda drawn: np.random.default_rng(drawn[2]).normal(0.5, 0.2, drawn[:2])
)


@given(st.floats(1, 300), st.floats(0.5, 0.999))
@example(1.00000001, 0.9917401353293637)
def test_the_bound_is_students(freedom: float, confidence: float) -> None:
    assert student_bound(freedom, confidence) == pytest.approx(student.ppf((1 + confidence) / 2, freedom), rel=2e-3)


@given(tables, st.floats(-1, 1))
def test_the_interval_moves_with_the_ratios_and_forgets_the_order(logs: np.ndarray, shift: float) -> None:
    one = across_processes(logs, 0.95)
    moved = across_processes(logs[::-1, ::-1] + shift, 0.95)
    assert one.estimate.low is not None and moved.estimate.low is not None
    assert math.log(moved.estimate.low) == pytest.approx(math.log(one.estimate.low) + shift, abs=1e-9)
    assert moved.spread == pytest.approx(one.spread, abs=1e-9)
    assert one.estimate.low <= one.estimate.value <= one.estimate.high


@given(tables)
def test_more_confidence_is_never_narrower(logs: np.ndarray) -> None:
    narrow, wide = (across_processes(logs, level).estimate for level in (0.9, 0.99))
    assert wide.low <= narrow.low and narrow.high <= wide.high


def test_processes_without_any_difference_have_no_spread() -> None:
    logs = np.tile(np.linspace(0.1, 0.6, 8), (3, 1))
    found = across_processes(logs, 0.95)
    assert found.spread == pytest.approx(0.0, abs=1e-12)
    assert found.estimate.value == pytest.approx(math.exp(0.35))
    alike = across_processes(np.full((2, 6), 0.25), 0.95).estimate
    assert alike.low == alike.high == pytest.approx(math.exp(0.25))


@pytest.mark.parametrize(("of_run", "of_prompt"), [(0.06, 0.2), (0.15, 0.05), (0.0, 0.2)])
def test_the_interval_holds_the_truth_as_often_as_it_says(of_run: float, of_prompt: float) -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        logs = rng.normal(0, of_run, (3, 1)) + rng.normal(0, of_prompt, 30) + rng.normal(0, 0.05, (3, 30))
        one = across_processes(logs, 0.95).estimate
        held += one.low <= 1.0 <= one.high
    assert held / 400 >= 0.94


@pytest.mark.parametrize("shape", [(1, 9), (2, 0)])
def test_a_single_process_or_no_prompt_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected two processes or more and a prompt"):
        across_processes(np.zeros(shape), 0.95)


@given(tables)
def test_influences_have_the_ratio_of_sums_as_their_mean(logs: np.ndarray) -> None:
    numerator, denominator = np.exp(logs), np.exp(logs[::-1])
    ratio = np.log(numerator.sum(axis=1) / denominator.sum(axis=1))
    assert influence(numerator, denominator).mean(axis=1) == pytest.approx(ratio)


def generations(seconds: dict[str, np.ndarray]) -> pd.DataFrame:
    """Ten tokens by each arm: `seconds` [processes, prompts]."""
    return pd.DataFrame(
        {
            "prompt_id": f"p{prompt}", "arm": arm, "num_draft_tokens": int(arm != "baseline"), "process": process,
            "repeat": process, "decode_s": float(values[process, prompt]), "token_ids": list(range(11)),
        }
        for arm, values in seconds.items()
        for process in range(values.shape[0])
        for prompt in range(values.shape[1])
    )  # fmt: skip


def test_speedups_of_several_processes_are_over_processes_and_prompts() -> None:
    rng = np.random.default_rng(5)
    mine = np.exp(rng.normal(0, 0.1, (3, 8)))
    theirs = np.exp(rng.normal(0.5, 0.1, (3, 8)))
    table = generations({"baseline": theirs, "mtp": mine})
    row = paired_speedups(table).iloc[0]
    expected = across_processes(np.log(theirs / mine), 0.95)
    assert row["processes"] == 3
    assert row["speedup_decode"] == pytest.approx(expected.estimate.value)
    assert row["speedup_decode_low"] == pytest.approx(expected.estimate.low)
    assert row["speedup_decode_run_spread"] == pytest.approx(expected.spread)
    single = paired_speedups(table[table["process"] == 0]).iloc[0]
    assert single["processes"] == 1 and math.isnan(single["speedup_decode_run_spread"])
    by_process = [one["speedup"] for one in process_speedups(table)]
    assert by_process == pytest.approx(list(np.exp(np.log(theirs / mine).mean(axis=1))))


def test_a_process_that_was_cut_off_is_left_out() -> None:
    table = generations({"baseline": np.full((3, 9), 2.0), "mtp": np.ones((3, 9))})
    cut = table[(table["process"] < 2) | table["prompt_id"].isin(["p0", "p1"])]
    row = paired_speedups(cut).iloc[0]
    assert row["processes"] == 2 and row["speedup_decode"] == pytest.approx(2.0)
    assert len(paired_speedups(table[table["process"] == 1])) == len(paired_speedups(table))


ARMS = ("baseline", "mtp")


def by_process(processes: int = 4, prompts: int = 12) -> list[dict[str, Any]]:
    """Generations of two datasets and categories, each with its own seconds and tokens, in `processes` processes."""
    rng = np.random.default_rng(11)
    return [
        {
            "dataset": dataset, "prompt_id": f"p{prompt}", "category": ("sums", "proofs")[prompt % 2], "arm": arm,
            "num_draft_tokens": int(arm == "mtp"), "process": process, "repeat": process,
            "prefill_s": rng.uniform(0.05, 0.5), "decode_s": rng.uniform(0.1, 0.9),
            "token_ids": [0] * int(rng.integers(2, 40)),
        }
        for dataset in ("code", "maths")
        for prompt in range(prompts)
        for arm in ARMS
        for process in range(processes)
    ]  # fmt: skip


def wanted(lines: list[dict[str, Any]], processes: list[int], prompts: list[str], confidence: float) -> dict[str, Any]:
    """The figures over `processes` and `prompts` of one dataset, from its generations one by one."""
    of = {(one["process"], one["prompt_id"], one["arm"]): one for one in lines}
    row: dict[str, Any] = {"processes": len(processes)}
    for clock in ("decode", "end_to_end"):
        less = clock == "decode"

        def seconds(one: dict[str, Any], less: bool = less) -> float:
            return float(one["decode_s"] + (0 if less else one["prefill_s"]))

        table = {arm: [[of[r, p, arm] for p in prompts] for r in processes] for arm in ARMS}
        rates = {
            arm: np.array([[seconds(one) / (len(one["token_ids"]) - less) for one in each] for each in table[arm]])
            for arm in ARMS
        }
        counts = np.array([[len(one["token_ids"]) - less for one in each] for each in table["baseline"]])
        mean = across_processes(np.log(rates["baseline"] / rates["mtp"]), confidence)
        weighted = across_processes(influence(rates["baseline"] * counts, rates["mtp"] * counts), confidence)
        name = f"speedup_{clock}"
        for part, one in ((name, mean.estimate), (f"{name}_token_weighted", weighted.estimate)):
            row |= {part: one.value, f"{part}_low": one.low, f"{part}_high": one.high}
        row[f"{name}_words"] = mean.estimate.words
        if less:
            row["speedup_decode_run_spread"] = mean.spread
    return row


def assert_figures(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert found[name] == (value if isinstance(value, str) else pytest.approx(value)), name


def rows_of(lines: list[dict[str, Any]], confidence: float = 0.95) -> dict[tuple[str, str], dict[str, Any]]:
    """The row of each dataset and category; intervals over processes resample nothing."""
    rows = paired_speedups(pd.DataFrame(lines), confidence=confidence, resamples=2).to_dict("records")
    return {(row["dataset"], row["category"]): row for row in rows}


@pytest.mark.parametrize("processes", [2, 4])
def test_each_figure_over_processes_is_that_of_its_own_dataset_category_and_clock(processes: int) -> None:
    lines = by_process(processes)
    found = rows_of(lines, confidence=0.8)
    assert found.keys() == set(product(("code", "maths"), ("all", "proofs", "sums")))
    for (dataset, category), row in found.items():
        own = [one for one in lines if one["dataset"] == dataset]
        prompts = sorted({one["prompt_id"] for one in own if category in ("all", one["category"])})
        assert_figures(row, wanted(own, list(range(processes)), prompts, 0.8))


def test_a_process_without_an_arm_or_the_dataset_is_left_out_and_the_later_ones_are_not() -> None:
    def ran(one: dict[str, Any]) -> bool:
        absent = {0: ("code", "mtp"), 2: ("maths", "baseline")}.get(one["process"])
        return (one["dataset"], one["arm"]) != absent and (one["dataset"], one["process"]) != ("code", 1)

    lines = [one for one in by_process(5) if ran(one)]
    prompts, found = [f"p{index}" for index in range(12)], rows_of(lines)
    for dataset, processes in (("code", [2, 3, 4]), ("maths", [0, 1, 3, 4])):
        own = [one for one in lines if one["dataset"] == dataset]
        assert_figures(found[dataset, "all"], wanted(own, processes, prompts, 0.95))


@pytest.mark.parametrize("arm", ARMS)
def test_a_process_counts_from_half_of_the_prompts_on_and_its_prompts_alone_are_compared(arm: str) -> None:
    done = {1: 6, 2: 5}
    lines = [
        one
        for one in by_process()
        if one["dataset"] == "maths" and (one["arm"] != arm or int(one["prompt_id"][1:]) < done.get(one["process"], 12))
    ]
    expected = wanted(lines, [0, 1, 3], [f"p{index}" for index in range(6)], 0.95)
    assert_figures(rows_of(lines)["maths", "all"], expected)


def test_answers_of_one_token_have_figures_of_the_whole_time_alone() -> None:
    lines = [one | {"token_ids": [0], "decode_s": 0.0} for one in by_process(3) if one["dataset"] == "maths"]
    row = rows_of(lines)["maths", "all"]
    prefill = {(one["process"], one["prompt_id"], one["arm"]): one["prefill_s"] for one in lines}
    ratios = [
        [prefill[r, f"p{prompt}", "baseline"] / prefill[r, f"p{prompt}", "mtp"] for prompt in range(12)]
        for r in range(3)
    ]
    estimate = across_processes(np.log(ratios), 0.95).estimate
    assert row["processes"] == 3 and row["speedup_decode"] is None and math.isnan(row["speedup_decode_run_spread"])
    assert (row["speedup_end_to_end"], row["speedup_end_to_end_low"]) == pytest.approx((estimate.value, estimate.low))
    assert process_speedups(pd.DataFrame(lines)) == []


@pytest.mark.parametrize("arm", ARMS)
def test_a_prompt_decoded_in_no_time_is_compared_in_no_process(arm: str) -> None:
    lines = [one for one in by_process(3) if one["dataset"] == "code"]
    for one in lines:
        if (one["prompt_id"], one["arm"], one["process"]) == ("p3", arm, 1):
            one["decode_s"] = 0.0
    others = wanted(lines, [0, 1, 2], [f"p{index}" for index in range(12) if index != 3], 0.95)
    decode = {name: value for name, value in others.items() if "end_to_end" not in name}
    assert_figures(rows_of(lines)["code", "all"], decode)


def test_the_speedup_of_each_process_is_over_all_categories_and_its_decoded_prompts() -> None:
    lines = [one for one in by_process(3) if one["dataset"] == "code"]
    for one in lines:
        if (one["prompt_id"], one["process"]) == ("p4", 1):
            one["token_ids"] = [0]
    found = process_speedups(pd.DataFrame(lines))
    cell = {"dataset": "code", "category": "all", "batch_size": 1, "arm": "mtp", "num_draft_tokens": 1}
    cell |= {"other": "baseline", "other_num_draft_tokens": 0}
    assert [{name: value for name, value in one.items() if name != "speedup"} for one in found] == [
        {**cell, "process": process} for process in range(3)
    ]
    for one in found:
        own = [line for line in lines if line["process"] == one["process"] and len(line["token_ids"]) > 1]
        pace = {(line["prompt_id"], line["arm"]): line["decode_s"] / (len(line["token_ids"]) - 1) for line in own}
        logs = [math.log(pace[prompt, "baseline"] / pace[prompt, "mtp"]) for prompt, arm in pace if arm == "mtp"]
        assert one["speedup"] == pytest.approx(math.exp(np.mean(logs)))


ROW = {
    "dataset": "made", "batch_size": 1, "arm": "mtp", "num_draft_tokens": 4, "other": "baseline",
    "other_num_draft_tokens": 0, "processes": 1, "speedup_decode": 1.8,
}  # fmt: skip


@given(st.lists(st.floats(0.2, 9), min_size=1, max_size=8))
def test_earlier_runs_are_summed_up_by_comparison(speedups: list[float]) -> None:
    earlier = [{"speedups": [{**ROW, "speedup": value}]} for value in speedups]
    strangers = [{"speedups": [{**ROW, "arm": "dflash", "speedup": 99.0}, {**ROW, "speedup": "no"}]}, {}, "damaged"]
    (found,) = run_to_run([ROW], [*earlier, *strangers])["earlier"]
    assert (found["low"], found["high"], found["processes"]) == (min(speedups), max(speedups), len(speedups))
    assert (found["spread"] is None) == (len(speedups) == 1)


def test_the_page_says_what_the_intervals_lack() -> None:
    alone = {"rows": [ROW], "run_to_run": run_to_run([ROW], [])}
    assert "the variation from run to run is not in them (restarts=3)" in run_to_run_text(alone)
    earlier = [{"speedups": [{**ROW, "speedup": value}]} for value in (1.67, 1.87)]
    said = run_to_run_text({"rows": [ROW], "run_to_run": run_to_run([ROW], earlier)})
    assert "earlier runs of this configuration here gave MTP 1.67 to 1.87 in 2 processes" in said
    once = run_to_run_text({"rows": [ROW], "run_to_run": run_to_run([ROW], earlier[:1])})
    assert "earlier runs of this configuration here gave MTP 1.67." in once
    three = {"rows": [ROW], "run_to_run": run_to_run([{**ROW, "processes": 3}], [])}
    assert run_to_run_text(three) == "The intervals are over prompts and 3 fresh processes."
    assert run_to_run_text({"rows": [ROW]}) == ""
