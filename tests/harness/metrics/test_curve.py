"""Speedup against k from one run: measured at its own k, predicted below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.curve import Point, best, crossings, curves, widened
from harness.metrics.curve_file import read_curve, write_curve
from harness.metrics.summary import read_summary
from harness.records.costs import ArmCosts, CostTable, RoundCost, read_costs, write_costs
from harness.records.files import CURVE
from harness.records.frames import read_generations, read_rounds
from tests.helpers.generated_runs import ARMS, STEP_S, write_run
from tests.helpers.record_tables import record, steps, tables

K = {"mtp": 4, "dflash": 7}


def linear(verify_ms: float = 30.0, per_row: float = 0.5, draft_ms: float = 2.0) -> CostTable:
    """A table in which drafting is proportional to k and verification grows with every row."""

    def cost(k: int) -> RoundCost:
        return RoundCost(k, draft_ms * k, verify_ms + per_row * k, 0.01, 0.01, 8)

    arms = {name: ArmCosts(name == "dflash", tuple(cost(k) for k in range(1, most + 1))) for name, most in K.items()}
    return CostTable(100, 1, "eager", verify_ms, 1.0, arms)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("curve"), summary=False)
    write_costs(folder, linear())
    return folder


def test_the_point_of_the_own_k_is_the_measured_one(run: Path) -> None:
    found = write_curve(run)
    assert found is not None and found == read_curve(run)
    rows = {(row["arm"], row["category"]): row for row in read_summary(run)["rows"]}
    for arm, points in found.items():
        for point in (one for one in points if one.measured):
            row = rows[arm, point.category]
            assert point.k == K[arm] == row["num_draft_tokens"]
            assert point.tokens_per_round == pytest.approx(row["acceptance_length"])
            assert (point.speedup, point.low, point.high) == pytest.approx(
                (row["speedup_decode"], row["speedup_decode_low"], row["speedup_decode_high"])
            )


def test_every_arm_has_every_k_in_every_category(run: Path) -> None:
    found = write_curve(run)
    assert found is not None
    categories = {row["category"] for row in read_summary(run)["rows"]}
    assert {arm: {(p.k, p.category) for p in points} for arm, points in found.items()} == {
        arm: {(k, category) for k in range(1, most + 1) for category in categories} for arm, most in K.items()
    }
    stored = json.loads((run / CURVE).read_text())
    assert list(stored) == ["arms"]
    assert list(stored["arms"]["mtp"][0]) == ["k", "category", "tokens_per_round", "speedup", "low", "high", "measured"]


def test_a_prediction_is_that_of_a_run_at_the_smaller_k(tmp_path: Path) -> None:
    """The generator's drafts stand independently, so a run at k=2 shows what the run at k=7 must predict."""
    shape = ARMS["dflash"]
    cheaper = type(shape)(2, shape.accept, shape.fade, shape.draft_s, shape.verify_s - 0.0025)
    real = write_run(tmp_path / "real", arms={"dflash": cheaper}, prompts=80, seed=3)
    wide = write_run(tmp_path / "wide", arms={"dflash": shape}, prompts=80, summary=False)
    cost = [RoundCost(2, 5.8, 1e3 * shape.verify_s - 2.5, passes=9), RoundCost(7, 5.8, 1e3 * shape.verify_s, passes=9)]
    table = CostTable(100, 1, "eager", 1e3 * STEP_S, 1.0, {"dflash": ArmCosts(True, tuple(cost))})
    points = curves(read_rounds(wide), read_generations(wide), table)["dflash"]
    (point,) = (one for one in points if one.k == 2 and one.category == "all")
    row = next(row for row in read_summary(real)["rows"] if row["arm"] == "dflash" and row["category"] == "all")
    assert point.tokens_per_round == pytest.approx(row["acceptance_length"], rel=0.04)
    assert point.speedup == pytest.approx(row["speedup_decode"], rel=0.04)


def test_nothing_is_predicted_without_a_cost_table(tmp_path: Path) -> None:
    folder = write_run(tmp_path, prompts=8, summary=False)
    (folder / CURVE).write_text("{}")
    assert write_curve(folder) is None and not (folder / CURVE).exists()
    found = curves(read_rounds(folder), read_generations(folder), None)
    assert {(point.k, point.measured) for points in found.values() for point in points} == {(4, True), (7, True)}


def test_a_damaged_cost_table_counts_as_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_costs(tmp_path, linear())
    (tmp_path / "costs.json").write_text((tmp_path / "costs.json").read_text().replace('"rounds"', '"round"'))
    assert read_costs(tmp_path) is None and "costs.json is damaged" in capsys.readouterr().err


def test_rounds_that_were_drafted_again_replace_the_walk() -> None:
    made = [record(f"p{i}", "dflash", [(7, 3, 4)] * 5, (0.001, 0.01, 0.0)) for i in range(6)]
    base = [record(f"p{i}", "baseline", steps(20), (0.0, 0.008, 0.0)) for i in range(6)]
    rounds, generations = tables([*base, *made])
    again = {(f"p{i}", 0, "dflash", 0, 2): 10 for i in range(6)}
    points = curves(rounds, generations, linear(), again)["dflash"]
    assert next(p.tokens_per_round for p in points if p.k == 2) == 2.0


def test_a_drafter_that_reads_the_prompt_first_is_charged_for_it_once() -> None:
    """0.05 s of reading in a first round: halving the rounds' cost must not halve it."""
    rounds, generations = tables(
        [
            *(record(f"p{i}", "baseline", steps(20), (0.0, 0.01, 0.0)) for i in range(6)),
            *(record(f"p{i}", "dflash", [(7, 3, 4)] * 5, (0.0, 0.01, 0.0)) for i in range(6)),
        ]
    )
    rounds.loc[(rounds["arm"] == "dflash") & (rounds["round"] == 0), "draft_s"] = 0.05
    generations.loc[generations["arm"] == "dflash", "decode_s"] = 0.10
    table = CostTable(100, 1, "eager", 5, 1.0, {"dflash": ArmCosts(True, (RoundCost(3, 1, 5), RoundCost(7, 1, 10)))})
    found = {point.k: point.speedup for point in curves(rounds, generations, table)["dflash"]}
    assert found[7] == pytest.approx(0.2 / 0.1) and found[3] == pytest.approx(0.2 / (0.05 + 5 * 0.005))


@given(st.floats(0.1, 10), st.floats(0, 2), st.floats(0, 2))
def test_an_interval_never_narrows_by_the_errors_of_the_costs(value: float, half: float, reach: float) -> None:
    low, high = widened(value, value * 2.718281828**-half, value * 2.718281828**half, reach)
    assert low is not None and high is not None
    assert low * (1 - 1e-9) <= value * 2.718281828**-half and value * 2.718281828**half <= high * (1 + 1e-9)


def test_between_measured_k_costs_are_interpolated_and_say_so() -> None:
    arms = {
        "mtp": ArmCosts(False, (RoundCost(4, 4.0, 12.0, passes=9),)),
        "dflash": ArmCosts(True, (RoundCost(15, 3.0, 32.0, passes=9),)),
    }
    table = CostTable(100, 1, "compile", 8.0, 1.0, arms)
    two = table.at("mtp", 2)
    assert two is not None and (two.draft_ms, two.verify_ms, two.passes) == (2.0, 10.0, 0)
    four = table.at("dflash", 4)
    assert four is not None and four.verify_ms == 12.0 and four.draft_ms == pytest.approx(3.0 * 12 / 32)
    assert four.draft_error > 0 and table.at("dflash", 16) is table.at("lookup", 1) is None


def test_the_best_k_and_the_crossing() -> None:
    def line(*speedups: float) -> list[Point]:
        return [Point(k, "all", 1.0, value, None, None, False) for k, value in enumerate(speedups, start=1)]

    assert best(line(1.0, 1.4, 1.4)) == line(1.0, 1.4)[1] and best([]) is None
    assert crossings(line(2, 2, 2, 2), line(1, 1.5, 2, 3)) == [(2, 4)]
    assert crossings(line(2, 2), line(1, 1)) == [] == crossings(line(2), [])
