"""A sweep over k of both arms in W&B, offline: keys that all arms share make one panel of all of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import upload
from harness.report.tracking.described import AXES, SHARED
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers.recorded_run import record
from tests.helpers.wandb_file import Written, read_back

KS = (1, 2, 3)
#: What one panel needs: the axis, the height, and the line to which a dot belongs.
X, Y, LINE = "k", "speedup_decode", "arm"
#: From the helper: k=1 accepts 1 of 1 in 6 rounds, the others 2 in 4; a pass takes 10 ms, drafting 2.
SPEEDUPS = {1: 120 / (6 * 12), 2: 120 / (4 * 12), 3: 120 / (4 * 12)}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked") / "lengths"
    for job, k in enumerate(KS):
        record(folder / str(job), k=k)
    assert upload.main([str(folder), "--mode", "offline"]) == EXIT_OK
    return folder


@pytest.fixture(scope="module")
def written(sweep: Path) -> list[Written]:
    return read_back(sweep)


def of_type(written: list[Written], job_type: str) -> list[Written]:
    return [one for one in written if one.run.job_type == job_type]


def test_the_axes_of_the_panel_are_shared_keys() -> None:
    assert {X, LINE} == {*AXES}
    assert {Y, "acceptance_length", "decode_tok_s"} <= {*SHARED}


def test_a_scatter_or_parallel_coordinates_over_runs_of_one_arm_each(written: list[Written]) -> None:
    """`config.arm`, `config.k` and `summary.speedup_decode` of every run: one dot, or one line, each."""
    arms = of_type(written, "arm")
    expected = {(arm, k): pytest.approx(SPEEDUPS[k]) for arm in ("mtp", "dflash") for k in KS}
    assert {(one.config[LINE], one.config[X]): one.summary[Y] for one in arms} == expected
    assert {(one.summary[LINE], one.summary[X]): one.summary[Y] for one in arms} == expected


def test_a_chart_over_the_history_of_the_jobs(written: list[Written]) -> None:
    """A line per `arm` over `k`, from rows that every job logs under the same keys."""
    jobs = of_type(written, "mtp+dflash")
    rows = [(row[LINE], row[X], row[Y]) for one in jobs for row in one.rows if LINE in row]
    assert sorted(rows) == [(arm, k, pytest.approx(SPEEDUPS[k])) for arm in ("dflash", "mtp") for k in KS]
    assert {one.axes[Y] for one in jobs} == {X}
    assert [one.config[X] for one in sorted(jobs, key=lambda one: one.config[X])] == [*KS], "k is resolved"
    assert {one.summary["best/k"] for one in jobs} == {*KS}


def test_the_leaderboard_run_holds_the_whole_sweep(written: list[Written], sweep: Path) -> None:
    [board] = of_type(written, "leaderboard")
    assert board.run.run_group == "lengths"
    assert [(row[LINE], row[X]) for row in board.rows if LINE in row] == [(a, k) for a in ("dflash", "mtp") for k in KS]
    assert board.history["leaderboard/_type"] == "html-file"
    assert any("speedup_by_k" in name for name in board.history)
    assert {"leaderboard.csv", "leaderboard.html"} <= {*board.artifact_files}
    assert (board.artifact, sorted(board.aliases)) == ("leaderboard-target-prompts", ["2026-01-02", "latest"])


def test_a_view_without_its_extra_or_without_a_login_is_one_line(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert upload.main([str(sweep), "--workspace", "--mode", "offline"]) == EXIT_BAD_INPUT
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("wandb-workspaces is not installed, expected `pip install 'drafthouse[workspaces]'`")
    monkeypatch.setitem(sys.modules, "wandb_workspaces", object())
    assert upload.main([str(sweep), "--workspace", "--mode", "offline"]) == EXIT_BAD_INPUT
    assert "expected `wandb login`" in capsys.readouterr().err


def test_the_view_plots_speedup_against_k_by_arm() -> None:
    pytest.importorskip("wandb_workspaces")
    from harness.report.tracking.workspace import build_workspace

    view = build_workspace("me", "drafthouse")
    spec = str(view._to_model().model_dump(by_alias=True, exclude_none=True))
    assert "speedup_decode" in spec and "'grouping'" in spec
    [panel, *_] = view.sections[0].panels
    assert (panel.x.name, panel.y.name) == (X, Y)
    assert [one.name for one in view.runset_settings.groupby] == [LINE]
