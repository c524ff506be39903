"""The diagnosis of a run: the decoded rounds are found again, and the folder keeps what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.diagnose import main
from harness.diagnosis.runs import diagnose_run
from harness.errors import InputError
from harness.records.files import DIAGNOSIS
from harness.report.charts.reliability import reliability_chart
from harness.report.page.diagnosis import read_diagnoses, rows
from harness.run import Outcome, run
from tests.helpers.decoded_runs import Configure


@pytest.fixture
def diagnosed(configure: Configure, tmp_path: Path, blank_charts: None) -> Outcome:
    """A run of two turns on six prompts, past the window of its target."""
    return run(configure(6, turns=2, diagnose=True, costs=False), tmp_path / "run")


def test_every_recorded_round_is_found_again(
    diagnosed: Outcome, pair: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((diagnosed.run_dir / DIAGNOSIS).read_text())
    assert list(kept) == ["mtp", "dflash"] and all(len(one["as_read"]) == 3 for one in kept.values())
    assert main([str(diagnosed.run_dir), "--drafter", "dflash", "--anchors", "0"]) == 0
    printed = capsys.readouterr().out.splitlines()
    (found,) = [line for line in printed if "recorded rounds are found again" in line]
    same, of = found.split(" recorded")[0].split(" of ")
    assert int(same) == int(of) > 10
    last = json.loads(printed[-1])
    assert list(last) == ["drafter", "as_read", "better"] and last["drafter"] == "dflash"
    assert rows(read_diagnoses(diagnosed.run_dir))[0].wiring == "as read"
    chart = reliability_chart(read_diagnoses(diagnosed.run_dir))
    assert chart is not None and "stood" in chart.svg


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        list(diagnose_run(folder, **options))
    return str(error.value)


def test_what_cannot_be_diagnosed_is_said_in_a_line(configure: Configure, tmp_path: Path, blank_charts: None) -> None:
    assert "no finished run" in refused(tmp_path)
    sampled = run(configure(1, drafter=["mtp"], decoding={"temperature": 1.0}, costs=False), tmp_path / "sampled")
    assert "decoding.temperature=1.0" in refused(sampled.run_dir)
    controls = run(configure(1, drafter=["lookup"], costs=False), tmp_path / "controls")
    assert "no arm has a trained drafter" in refused(controls.run_dir)
    greedy = run(configure(1, drafter=["mtp"], costs=False), tmp_path / "greedy")
    assert "--drafter dflash" in refused(greedy.run_dir, name="dflash")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decoding": {"temperature": 0.5}}, "decoding.temperature=0.5"),
        ({"verification": {"synthetic_acceptance": [0.5, 0.5, 0.5]}}, "assumed acceptance"),
    ],
)
def test_a_run_that_could_not_be_diagnosed_is_refused(configure: Configure, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match="diagnose=true") as error:
        configure(diagnose=True, **options)
    assert said in str(error.value)


def test_a_negative_number_of_anchors_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--anchors", "-1"]) == 2 and "--anchors -1" in capsys.readouterr().err
