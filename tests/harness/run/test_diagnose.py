"""The diagnosis of a run: the decoded rounds are found again, and the folder keeps what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.comparison.diagnosis.runs import diagnose_run
from harness.diagnose import main
from harness.records.files import DIAGNOSIS, MANIFEST
from harness.report.charts.reliability import reliability_chart
from harness.report.page.diagnosis import read_diagnoses, rows
from harness.run import run
from tests.helpers.decoded_runs import Configure


def test_a_run_is_diagnosed_and_every_recorded_round_is_found_again(
    configure: Configure, tmp_path: Path, blank_charts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(configure(3, turns=2, diagnose=True), tmp_path / "run").run_dir
    kept = json.loads((folder / DIAGNOSIS).read_text())
    assert list(kept) == ["mtp", "dflash"] and all(len(one["as_read"]) == 3 for one in kept.values())
    assert main([str(folder), "--drafter", "dflash", "--anchors", "0"]) == 0
    printed = capsys.readouterr().out.splitlines()
    (found,) = [line for line in printed if "recorded rounds are found again" in line]
    same, of = found.split(" recorded")[0].split(" of ")
    assert int(same) == int(of) > 10
    last = json.loads(printed[-1])
    assert list(last) == ["drafter", "as_read", "better"] and last["drafter"] == "dflash"
    assert rows(read_diagnoses(folder))[0].wiring == "as read"
    chart = reliability_chart(read_diagnoses(folder))
    assert chart is not None and "stood" in chart.svg
    assert "--drafter ngram: the run has no such arm" in refused(folder, {}, name="ngram")
    assert "no arm has a trained drafter" in refused(folder, {"drafter": ["lookup"]})
    assert "decoding.temperature=1.0" in refused(folder, {"decoding": {"temperature": 1.0}})


def refused(folder: Path, settings: dict[str, Any], **options: Any) -> str:
    """The line about a run whose manifest has other `settings`."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["config"] |= {"diagnose": False, **settings}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError) as error:
        list(diagnose_run(folder, **options))
    return str(error.value)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        list(diagnose_run(tmp_path))


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
