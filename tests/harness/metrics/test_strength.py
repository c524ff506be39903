"""Figures of the floor follow from a manifest's shapes and rates, and read n.d. without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.metrics.cells import cell_metrics
from harness.metrics.guards import cell_guards
from harness.metrics.strength import read_floors
from harness.metrics.summary import overall, read_summary
from tests.helpers import generated_runs
from tests.helpers.record_tables import record, steps, tables

#: A target of 1000 weights in numbers of 2 bytes, read at 1 MB/s: 2 ms a pass. A drafter's step takes 0.2 ms.
MANIFEST: dict[str, Any] = {
    "floor": {
        "bytes": 2,
        "rates": {"operations_per_s": 1e12, "bandwidths": [[2000, 1e6]]},
        "target": {"head": 1000},
        "drafters": {"mtp": {"each": {"head": 100}}, "lookup": {}, "mine": None},
    }
}


def cells(
    manifest: dict[str, Any] = MANIFEST, arm: str = "mtp", **f: Any
) -> dict[str, pd.Series]:
    """The rows over all categories of a baseline of 10 ms a step and an arm of 3 tokens a round, k = 4."""
    drafted = record("p", arm, [(4, 2, 3)] * 10, (0.002, 0.004, 0.002), **f)
    plain = record("p", "baseline", steps(30), (0.0, 0.008, 0.002), **f)
    table = cell_metrics(*tables([plain, drafted]), read_floors(manifest))
    return {row["arm"]: row for _, row in table[table["category"] == "all"].iterrows()}


def test_strength_is_the_floor_of_a_round_over_all_of_its_time() -> None:
    found = cells()
    baseline, mtp = found["baseline"], found["mtp"]
    assert baseline["floor_ms"] == pytest.approx(2.0) and baseline["strength"] == pytest.approx(0.2)
    assert baseline["verify_strength"] == pytest.approx(0.25) and pd.isna(baseline["draft_strength"])
    assert (mtp["verify_floor_ms"], mtp["draft_floor_ms"]) == pytest.approx((2.0, 4 * 0.2))
    assert (mtp["verify_strength"], mtp["draft_strength"]) == pytest.approx((0.5, 0.4))
    assert mtp["strength"] == pytest.approx(2.8 / 8) and mtp["baseline_strength"] == pytest.approx(0.2)


def test_the_speedup_at_the_floor_is_tokens_per_round_over_the_floors() -> None:
    assert cells()["mtp"]["speedup_at_floor"] == pytest.approx(3 * 2.0 / 2.8)
    assert cells()["baseline"]["speedup_at_floor"] == pytest.approx(1.0)


def test_a_drafter_without_a_network_drafts_for_nothing_and_an_unknown_one_has_no_floor() -> None:
    assert cells(arm="lookup")["lookup"]["floor_ms"] == pytest.approx(2.0)
    for arm in ("mine", "absent"):
        unknown = cells(arm=arm)[arm]
        assert unknown[["floor_ms", "strength", "draft_floor_ms", "speedup_at_floor"]].isna().all()
        assert unknown["verify_floor_ms"] == pytest.approx(2.0)


def test_rows_of_a_batch_share_the_weights() -> None:
    floor = {**MANIFEST["floor"], "target": {"head": 1000, "embedded": 10}}
    assert cells({"floor": floor}, batch_size=4)["baseline"]["floor_ms"] == pytest.approx(2.0 + 4 * 0.02)


def test_times_that_enter_no_figure_enter_no_strength() -> None:
    assert pd.isna(cells(taint="stopped")["baseline"]["strength"])


def test_a_generation_that_ended_before_its_first_round_changes_no_floor() -> None:
    made = [record("p", "baseline", steps(30), (0.0, 0.008, 0.002)), record("q", "mtp", [], status="error")]
    table = cell_metrics(*tables(made), read_floors(MANIFEST))
    over_all = table[table["category"] == "all"].set_index("arm")
    assert over_all.loc["baseline", "floor_ms"] == pytest.approx(2.0) and pd.isna(over_all.loc["mtp", "floor_ms"])


@pytest.mark.parametrize(
    "floor",
    [
        None,
        {"unknown": "the target's weights are quantized"},
        "word",
        {**MANIFEST["floor"], "rates": {"operations_per_s": 0, "bandwidths": [[1, 1]]}},
        {**MANIFEST["floor"], "target": {"legs": 4}},
        {**MANIFEST["floor"], "drafters": [1]},
    ],
)
def test_without_a_usable_floor_all_its_figures_are_unknown(floor: Any) -> None:
    row = cells({"floor": floor})["mtp"]
    assert row[["floor_ms", "strength", "baseline_strength", "speedup_at_floor"]].isna().all()


@pytest.mark.parametrize(
    ("step_s", "codes"),
    [(0.010, {"weak_baseline"}), (0.0041, {"weak_baseline"}), (0.0039, set()), (0.0018, {"floor_in_doubt"})],
)
def test_a_baseline_below_half_of_its_floor_is_doubted_and_so_is_one_beyond_it(step_s: float, codes: set[str]) -> None:
    rounds, generations = tables([record("p", "baseline", steps(30), (0.0, step_s, 0.0))])
    found = cell_guards(cell_metrics(rounds, generations, read_floors(MANIFEST)))[0]
    assert {guard.code for guard in found} == codes


def test_a_summary_reads_the_floor_from_the_files_of_a_run(tmp_path: Path) -> None:
    generated_runs.write_run(tmp_path / "new", prompts=6, measured=True)
    generated_runs.write_run(tmp_path / "old", prompts=6)
    new, old = (overall(read_summary(tmp_path / name))[0] for name in ("new", "old"))
    assert new["strength"] == pytest.approx(0.6, rel=0.1) and old["strength"] is None
