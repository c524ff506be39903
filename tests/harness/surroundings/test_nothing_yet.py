"""Runs and sweeps that hold nothing yet."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import compare, status, upload
from harness.records import journal
from harness.report import __main__ as report
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK
from tests.helpers.broken_surroundings import errors
from tests.helpers.interrupts import at_decode, interrupt

pytestmark = pytest.mark.usefixtures("blank_charts")

Command = Callable[..., int]


def test_a_run_of_nothing_gets_one_line_from_every_command(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as early:
        at_decode(early, 1, interrupt)
        assert command(*overrides, f"hydra.run.dir={run}") == EXIT_INTERRUPTED
    captured = capsys.readouterr()
    assert [json.loads(line)["arms"] for line in captured.out.splitlines()] == [{}], "the line for scripts, no table"
    assert errors(captured.err) == []
    assert len([line for line in captured.err.splitlines() if "nothing is committed yet" in line]) == 1
    [line] = [line for line in captured.err.splitlines() if line.startswith("interrupted")]
    assert shlex.split(line.split("`")[1])[3:] == [*overrides, f"hydra.run.dir={run}"]
    for main in (report.main, compare.main, upload.main):
        assert main([str(run)]) == EXIT_BAD_INPUT
        captured = capsys.readouterr()
        [line] = errors(captured.err)
        assert line.startswith(f"error: {run}: nothing is committed yet")
        assert captured.out == ""


def test_a_run_of_nothing_is_named_beside_others(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with journal.Journal(tmp_path / "empty", {}):
        pass
    assert compare.main([str(recorded), str(tmp_path / "empty"), "--out", str(tmp_path)]) == EXIT_OK
    assert "empty: nothing is committed yet" in capsys.readouterr().err


def test_an_interrupted_sweep_names_its_own_folder_and_goes_on_there(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = ["-m", *overrides, "num_draft_tokens=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    with monkeypatch.context() as early:
        at_decode(early, 4, interrupt)  # two warm-ups and one arm of the first prompt came before
        assert command(*grid) == EXIT_INTERRUPTED
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("interrupted")]
    assert shlex.split(line.split("`")[1])[3:] == grid
    assert status.main([str(tmp_path / "s"), "--json"]) == EXIT_OK
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [job["state"] for job in jobs] == ["pending", "pending"]
    assert jobs[0]["reason"] == "interrupted; the same command continues it"


def test_the_status_of_a_sweep_without_jobs_is_no_empty_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text('{"jobs": []}')
    assert status.main([str(tmp_path)]) == EXIT_OK
    assert capsys.readouterr().out == f"{tmp_path}: no jobs yet\n"
