"""The race's data: each lane ends when its generation did, and the widest race comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.page import chart_data
from harness.report.page.browser import build_browser
from harness.report.page.data import read_run
from harness.report.page.race import TOLERANCE, Lane, build_race, lane_from_json, lane_of, spread
from tests.helpers import generated_runs as synthetic

SECONDS = st.floats(1e-4, 10.0)


def built(folder: Path) -> tuple[Any, Any, Any]:
    run = read_run(folder)
    browser = build_browser(run, chart_data.prompts(run)).data
    return build_race(run, browser), browser, run


def test_total_times_in_the_page_are_the_records_own(tmp_path: Path) -> None:
    race, browser, run = built(synthetic.write_run(tmp_path, prompts=6, tokens=40, repeats=2))
    first = run.generations[run.generations["repeat"] == 0].set_index(["prompt_id", "arm"])
    arms = {one.label: one.arm for one in run.series}
    assert len(race["order"]) == 6
    for index, lanes in race["lanes"].items():
        assert list(lanes) == ["Baseline", "MTP", "DFlash"]
        for label, made in lanes.items():
            record = first.loc[(browser["prompts"][int(index)]["id"], arms[label])]
            recorded_s = record["prefill_s"] + record["decode_s"]
            assert lane_from_json(made).total_s == pytest.approx(recorded_s, rel=0.01)
            assert len(made["us"]) == len(browser["prompts"][int(index)]["arms"][label]["rounds"])


def test_the_prompt_where_arms_differ_most_comes_first(tmp_path: Path) -> None:
    race, _, _ = built(synthetic.write_run(tmp_path, prompts=6, tokens=40))
    spreads = [spread({k: lane_from_json(v) for k, v in race["lanes"][str(i)].items()}) for i in race["order"]]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > spreads[-1]


def test_a_prompt_with_a_failed_arm_comes_last(tmp_path: Path) -> None:
    race, browser, _ = built(synthetic.write_run(tmp_path, prompts=4, tokens=20, errors=1))
    last = race["order"][-1]
    assert list(race["lanes"][str(last)]) == ["Baseline", "MTP"]
    assert browser["prompts"][last]["arms"]["DFlash"]["verdict"] == "error"


def test_a_run_without_texts_races_in_token_numbers_and_one_arm_alone_does_not_race(tmp_path: Path) -> None:
    assert built(synthetic.write_run(tmp_path / "numbers", prompts=2, tokens=10, pieces=False))[0]["order"]
    assert built(synthetic.write_run(tmp_path / "alone", prompts=2, tokens=10, arms={}))[0]["order"] == []


@given(
    parts=st.lists(st.tuples(SECONDS, SECONDS, SECONDS), min_size=1, max_size=30),
    prefill_s=st.floats(0, 5),
    decode_s=SECONDS,
)
def test_a_lane_lasts_as_long_as_its_record(
    parts: list[tuple[float, float, float]], prefill_s: float, decode_s: float
) -> None:
    lane = lane_of({"prefill_s": prefill_s, "decode_s": decode_s, "taint": ""}, parts)
    assert lane is not None
    assert lane.total_s == pytest.approx(prefill_s + decode_s, rel=TOLERANCE)
    assert lane.measured
    assert len(lane.ends_s) == len(parts) + 1


@pytest.mark.parametrize("unknown", [float("nan"), 0.0])
def test_rounds_without_times_share_the_decode_time_and_say_so(unknown: float) -> None:
    lane = lane_of({"prefill_s": 1.0, "decode_s": 4.0, "taint": ""}, [(unknown,) * 3, (0.1, 0.1, 0.1)])
    assert lane == Lane(1.0, (2.0, 2.0), measured=False)


@pytest.mark.parametrize(
    ("prefill_s", "decode_s", "parts"),
    [(1.0, 0.0, [(1, 1, 1)]), (1.0, float("nan"), [(1, 1, 1)]), (float("nan"), 1.0, [(1, 1, 1)]), (1.0, 1.0, [])],
)
def test_without_a_time_there_is_no_lane(prefill_s: float, decode_s: float, parts: list[Any]) -> None:
    assert lane_of({"prefill_s": prefill_s, "decode_s": decode_s, "taint": ""}, parts) is None


def test_rounds_end_one_after_another() -> None:
    lane = Lane(0.5, (0.25, 0.25))
    assert [lane.rounds_at(seconds) for seconds in (0.0, 0.5, 0.74, 0.75, 9.0)] == [-1, 0, 0, 1, 2]
