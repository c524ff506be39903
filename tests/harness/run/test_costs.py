"""The cost table of a run: every k that its arms allow, measured before the first prompt; no record changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparison import costs
from harness.comparison.costs import halving, median_prompts
from harness.records.files import COSTS, CURVE
from harness.run import run
from tests.helpers.decoded_runs import Configure, tokens_of


@given(st.integers(1, 40))
def test_every_k_below_the_own_one_comes_once_and_1_comes_first(k: int) -> None:
    order = halving(k)
    assert sorted(order) == list(range(1, k)) and order[:1] == [1][: k - 1]


@given(st.lists(st.lists(st.integers(), min_size=1), min_size=1), st.integers(1, 5))
def test_the_prompts_of_median_length_fill_the_batch(prompts: list[list[int]], count: int) -> None:
    chosen = median_prompts(prompts, count)
    assert len(chosen) == count and all(one in prompts for one in chosen)


def test_a_run_keeps_its_cost_table_and_its_curve_and_the_tokens_stay(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_charts: None
) -> None:
    monkeypatch.setattr(costs, "BUDGET_S", 60.0)
    with_costs = run(configure(costs=True), tmp_path / "with")
    without = run(configure(), tmp_path / "without")
    assert tokens_of(with_costs) == tokens_of(without)
    assert not (without.run_dir / COSTS).exists() and not (without.run_dir / CURVE).exists()
    table = json.loads((with_costs.run_dir / COSTS).read_text())
    curve = json.loads((with_costs.run_dir / CURVE).read_text())["arms"]
    for row in with_costs.summary["rows"]:
        if row["arm"] != "baseline":
            measured = [one["k"] for one in table["arms"][row["arm"]]["rounds"]]
            assert measured == list(range(1, row["num_draft_tokens"] + 1))
            assert measured == sorted({point["k"] for point in curve[row["arm"]]})
    assert table["decode_ms"] > 0 and table["arms"]["dflash"]["block"] and not table["arms"]["mtp"]["block"]


def test_a_fault_of_the_cost_table_costs_a_warning(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_charts: None
) -> None:
    from harness.comparison import comparison

    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(comparison, "measure_costs", fail)
    outcome = run(configure(costs=True), tmp_path / "run")
    assert outcome.exit_code == 0 and not (outcome.run_dir / COSTS).exists()
    assert "no room" in (outcome.run_dir / "errors.log").read_text()
