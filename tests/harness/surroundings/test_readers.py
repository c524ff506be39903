"""Readers of stdout that leave, and consoles and folders of other alphabets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import compare, inspect, status
from harness.report import __main__ as report
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK, EXIT_STORAGE
from tests.helpers.broken_surroundings import ascii_console, errors, reader_gone
from tests.helpers.checkpoint_folders import write_prompts

pytestmark = pytest.mark.usefixtures("blank_charts")

Command = Callable[..., int]


# -- a reader of stdout that went away -----------------------------------------------------------------------


def test_a_run_keeps_its_exit_code_and_a_sweep_its_jobs_when_the_reader_has_gone(
    overrides: list[str], tmp_path: Path, command: Command
) -> None:
    grid = ["-m", *overrides, "num_draft_tokens=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    with reader_gone():
        assert command(*grid) == EXIT_OK
    assert [(tmp_path / "s" / job / "summary.json").exists() for job in "01"] == [True, True]
    assert (tmp_path / "s" / "leaderboard.md").exists()


def test_commands_end_well_when_the_reader_has_gone(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"jobs": [{"job": 0, "overrides": ["seed=1"]}]}')
    found: dict[Any, list[str]] = {
        compare.main: [str(recorded), "--out", str(tmp_path)],
        report.main: [str(recorded)],
        status.main: [str(tmp_path)],
        inspect.main: [str(tmp_path / "nowhere")],
    }
    for main, arguments in found.items():
        with reader_gone():
            assert main(arguments) == (EXIT_BAD_INPUT if main is inspect.main else EXIT_OK)


def test_a_process_whose_reader_has_gone_ends_in_silence(recorded: Path, tmp_path: Path) -> None:
    started = [sys.executable, "-m", "harness.compare", str(recorded), "--out", str(tmp_path)]
    process = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate()
    assert process.returncode == EXIT_OK
    assert "BrokenPipe" not in said and "Traceback" not in said


def test_a_closed_stdout_is_no_failure(
    recorded: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
    assert command("colour=red") == EXIT_BAD_INPUT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_was_asked_for_and_is_lost_is_an_error(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_STORAGE
        monkeypatch.undo()
    assert errors(capsys.readouterr().err) == ["error: stdout: No space left on device; what was written before stays"]


# -- consoles and folders of other alphabets -----------------------------------------------------------------


def test_a_console_that_knows_ascii_alone_gets_the_whole_leaderboard(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = ascii_console(monkeypatch)
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
    written = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    speedup = next(word for word in written.split() if word.endswith("×"))
    assert speedup.replace("×", "x") in printed().split()
    assert len(printed().splitlines()) == len(written.splitlines())


def test_folders_whose_names_are_not_utf_8_hold_runs_like_any_other(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / os.fsdecode(b"l\xe4uft \xe2\x80\x93 \xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    prompts = write_prompts(folder / "prompts.jsonl", 2)
    printed = ascii_console(monkeypatch)
    run = folder / "run"
    arguments = [*overrides, f"dataset.path='{prompts}'", f"hydra.run.dir='{run}'"]
    assert command(*arguments) == EXIT_OK
    found = json.loads(printed().splitlines()[-1])
    assert (found["run_dir"], found["exit_code"]) == (str(run), 0)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"][1:] == arguments
    assert manifest["prompts"]["path"] == prompts
    assert (run / "report.html").exists() and "no report" not in capsys.readouterr().err
    assert command(*arguments) == EXIT_OK, "and are continued"
    assert report.main([str(run)]) == EXIT_OK
    assert compare.main([str(folder)]) == EXIT_OK


def test_a_checkpoint_folder_that_is_not_utf_8_is_refused_or_read_but_never_a_traceback(
    pair: dict[str, str], overrides: list[str], tmp_path: Path, command: Command, capsys: Any
) -> None:
    link = tmp_path / os.fsdecode(b"ziel\xe9")
    try:
        link.symlink_to(pair["target"])
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    code = command(*overrides, f"target.path='{link}'", f"hydra.run.dir={tmp_path / 'run'}")
    said = errors(capsys.readouterr().err)
    assert (code, len(said)) in [(EXIT_OK, 0), (EXIT_BAD_INPUT, 1)]
