"""Folders that cannot be written, and disks that are full: one line, an exit code, and nothing lost."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import compare, train
from harness.records import files as run_files
from harness.report import __main__ as report
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK, EXIT_STORAGE
from tests.helpers.broken_surroundings import errors, full_disk, read_only
from tests.helpers.recorded_run import record

pytestmark = pytest.mark.usefixtures("blank_charts")

Command = Callable[..., int]


# -- folders that cannot be written --------------------------------------------------------------------------


def test_compare_prints_its_table_where_nothing_can_be_written(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_files.tempfile, "mkstemp", read_only)
    assert compare.main([str(recorded)]) == EXIT_OK
    captured = capsys.readouterr()
    assert "## Leaderboard" in captured.out
    [line] = [line for line in captured.err.splitlines() if "no files written" in line]
    assert str(recorded / "leaderboard.md") in line and "Read-only file system" in line and "--out DIR" in line
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_BAD_INPUT, "these files were asked for"
    captured = capsys.readouterr()
    assert "## Leaderboard" in captured.out
    assert errors(captured.err)


def test_a_report_that_cannot_be_written_is_one_line_and_keeps_no_other(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = record(tmp_path / "other", prompts=2, arms=("mtp",))
    real = run_files.tempfile.mkstemp

    def mkstemp(*arguments: Any, **options: Any) -> Any:
        return (read_only if recorded in Path(options["dir"]).parents or options["dir"] == recorded else real)(
            *arguments, **options
        )

    monkeypatch.setattr(run_files.tempfile, "mkstemp", mkstemp)
    assert report.main([str(recorded), str(other)]) == EXIT_BAD_INPUT
    captured = capsys.readouterr()
    [line] = errors(captured.err)
    assert str(recorded) in line and "Read-only file system" in line
    assert captured.out.split() == [str(other / "report.html")]


@pytest.mark.parametrize("mode", ["run", "sweep"])
def test_a_folder_that_cannot_be_made_is_bad_input(
    mode: str, overrides: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    (tmp_path / "file").touch()
    multirun = ["-m"] if mode == "sweep" else []
    code = command(*multirun, *overrides, f"hydra.{mode}.dir={tmp_path / 'file' / 'below'}")
    assert code == EXIT_BAD_INPUT
    [line] = errors(capsys.readouterr().err)
    assert str(tmp_path / "file") in line and f"hydra.{mode}.dir" in line


def test_a_run_that_could_not_be_recorded_reads_no_weights(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    monkeypatch.setattr(run_files.tempfile, "TemporaryFile", read_only)
    run = tmp_path / "run"
    assert command(*overrides, f"hydra.run.dir={run}", "hydra.output_subdir=null") == EXIT_BAD_INPUT
    [line] = errors(capsys.readouterr().err)
    assert line.startswith(f"error: hydra.run.dir={run}: Read-only file system, expected")


# -- full disks ----------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_whose_command_continues_the_run(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "a run"
    real, synced = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("generations.jsonl"):
            synced[0] += 1
            if synced[0] == 2:
                full_disk()
        real(descriptor)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fsync)
        assert command(*overrides, f"hydra.run.dir='{run}'") == EXIT_STORAGE
    captured = capsys.readouterr()
    [line] = errors(captured.err)
    assert line.startswith(f"error: {run / 'generations.jsonl'}: No space left on device; ")
    committed = (run / "generations.jsonl").read_text().splitlines()
    assert len(committed) == 2, "the first prompt's two arms"
    python, _, module, *arguments = shlex.split(line.split("`")[1])
    assert (Path(python).name, module) == ("python", "harness")
    assert command(*arguments) == EXIT_OK
    continued = (run / "generations.jsonl").read_text().splitlines()
    assert continued[:2] == committed and len(continued) == 4


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO])
def test_every_refusal_of_a_disk_names_the_file(
    number: int, recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_files.os, "fsync", refuse)
    for main in (compare.main, report.main):
        assert main([str(recorded)]) == EXIT_STORAGE
        [line] = errors(capsys.readouterr().err)
        assert str(recorded) in line and os.strerror(number) in line


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["colour=red"], EXIT_BAD_INPUT, "colour"),
        (["pair"], EXIT_STORAGE, "losses.jsonl: No space left on device; what was written before stays; the same"),
    ],
)
def test_training_ends_like_every_other_command(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def run(config: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{config.output_dir}/losses.jsonl")

    monkeypatch.setattr("harness.training.recipes.run", run)
    monkeypatch.setattr(sys, "argv", ["train", *arguments, f"output_dir={tmp_path}"])
    monkeypatch.setattr(train, "_exit_codes", [])
    assert train.main() == code
    [line] = errors(capsys.readouterr().err)
    assert said in line
