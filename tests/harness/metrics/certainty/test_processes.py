"""Intervals over processes and prompts, and the words on the variation from run to run."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
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
