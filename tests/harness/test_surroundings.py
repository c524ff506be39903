"""Where commands run: readers that leave, consoles of other alphabets, archives, full disks, users without names."""

from __future__ import annotations

import errno
import io
import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from drafters.checkpoints.files import resolve_folder
from harness import __main__ as entry
from harness import compare, inspect, status, train, upload
from harness.comparison import arms as arms_module
from harness.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, InputError
from harness.launch import device_lock
from harness.records import files as run_files
from harness.records import journal
from harness.report import __main__ as report
from tests.helpers.checkpoint_folders import write_pair, write_prompts
from tests.helpers.recorded_run import record

EXIT_STORAGE = 5


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recorded") / "run", prompts=2, arms=("mtp",))


@pytest.fixture
def overrides(pair: dict[str, str], tmp_path: Path) -> list[str]:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    target = ["target=path", f"target.path={pair['target']}", "target.device=cpu", "share_device=true"]
    arms = ["drafter=mtp", f"drafters.mtp.path={pair['mtp']}", "num_draft_tokens=2", "max_new_tokens=4"]
    return [*target, *arms, "dataset=jsonl", f"dataset.path={prompts}"]


@pytest.fixture(autouse=True)
def fresh_process_state() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for codes in (entry._exit_codes, entry.sweep_exit_codes):
        codes.clear()
    yield
    entry._exit_codes.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["harness", *arguments])
    return entry.main()


@contextmanager
def reader_gone() -> Iterator[None]:
    """stdout as a pipe whose reader has left; at the end nothing may wait in it that would fail when a process ends.

    No fixture: the one that captures output would put its own stdout back before the test begins.
    """
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield


def ascii_console(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """stdout that knows ASCII alone; the call reads what was printed."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    return lambda: (stream.flush(), buffer.getvalue().decode("ascii"))[1]


def full_disk(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.EROFS, "Read-only file system")


def errors(text: str) -> list[str]:
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


# -- a reader of stdout that went away -------------------------------------------------------------------------------


def test_a_run_keeps_its_exit_code_and_a_sweep_its_jobs_when_the_reader_has_gone(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ["-m", *overrides, "num_draft_tokens=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    with reader_gone():
        assert command(monkeypatch, *grid) == EXIT_OK
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


def test_a_closed_stdout_is_no_failure(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
    assert command(monkeypatch, "colour=red") == EXIT_BAD_INPUT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_was_asked_for_and_is_lost_is_an_error(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_STORAGE
        monkeypatch.undo()
    assert errors(capsys.readouterr().err) == [
        "error: stdout: No space left on device; what was written before stays"
    ]


# -- consoles and folders of other alphabets -------------------------------------------------------------------------


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
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert command(monkeypatch, *arguments) == EXIT_OK
    found = json.loads(printed().splitlines()[-1])
    assert (found["run_dir"], found["exit_code"]) == (str(run), 0)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"][1:] == arguments
    assert manifest["prompts"]["path"] == prompts
    assert (run / "report.html").exists() and "no report" not in capsys.readouterr().err
    entry._exit_codes.clear()
    assert command(monkeypatch, *arguments) == EXIT_OK, "and are continued"
    assert report.main([str(run)]) == EXIT_OK
    assert compare.main([str(folder)]) == EXIT_OK


def test_a_checkpoint_folder_that_is_not_utf_8_is_refused_or_read_but_never_a_traceback(
    pair: dict[str, str], overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    link = tmp_path / os.fsdecode(b"ziel\xe9")
    try:
        link.symlink_to(pair["target"])
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    code = command(monkeypatch, *overrides, f"target.path='{link}'", f"hydra.run.dir={tmp_path / 'run'}")
    said = errors(capsys.readouterr().err)
    assert (code, len(said)) in [(EXIT_OK, 0), (EXIT_BAD_INPUT, 1)]


# -- folders that cannot be written ----------------------------------------------------------------------------------


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
    mode: str, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    (tmp_path / "file").touch()
    multirun = ["-m"] if mode == "sweep" else []
    code = command(monkeypatch, *multirun, *overrides, f"hydra.{mode}.dir={tmp_path / 'file' / 'below'}")
    assert code == EXIT_BAD_INPUT
    [line] = errors(capsys.readouterr().err)
    assert str(tmp_path / "file") in line and f"hydra.{mode}.dir" in line


def test_a_run_that_could_not_be_recorded_reads_no_weights(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    monkeypatch.setattr(run_files.tempfile, "TemporaryFile", read_only)
    run = tmp_path / "run"
    assert command(monkeypatch, *overrides, f"hydra.run.dir={run}", "hydra.output_subdir=null") == EXIT_BAD_INPUT
    [line] = errors(capsys.readouterr().err)
    assert line.startswith(f"error: hydra.run.dir={run}: Read-only file system, expected")


# -- full disks ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_whose_command_continues_the_run(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
        assert command(monkeypatch, *overrides, f"hydra.run.dir='{run}'") == EXIT_STORAGE
    captured = capsys.readouterr()
    [line] = errors(captured.err)
    assert line.startswith(f"error: {run / 'generations.jsonl'}: No space left on device; ")
    committed = (run / "generations.jsonl").read_text().splitlines()
    assert len(committed) == 2, "the first prompt's two arms"
    entry._exit_codes.clear()
    python, _, module, *arguments = shlex.split(line.split("`")[1])
    assert (python, module) == ("python", "harness")
    assert command(monkeypatch, *arguments) == EXIT_OK
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


# -- nothing yet -----------------------------------------------------------------------------------------------------


def test_a_run_of_nothing_gets_one_line_from_every_command(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as early:
        early.setattr(arms_module, "decode", interrupted)
        assert command(monkeypatch, *overrides, f"hydra.run.dir={run}") == EXIT_INTERRUPTED
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
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = arms_module.decode, [0]

    def decode(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:  # two warm-ups and one arm of the first prompt came before
            raise KeyboardInterrupt
        return real(*arguments, **options)

    grid = ["-m", *overrides, "num_draft_tokens=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    with monkeypatch.context() as early:
        early.setattr(arms_module, "decode", decode)
        assert command(monkeypatch, *grid) == EXIT_INTERRUPTED
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


# -- users and folders that are not there ----------------------------------------------------------------------------


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose number has no entry in the password database, and whose environment names none."""

    def missing(number: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)


@pytest.mark.usefixtures("nameless")
def test_a_user_without_a_name_holds_a_device_and_is_named_for_libraries(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock.tempfile, "tempdir", str(tmp_path))
    with device_lock.hold_device(torch.device("cpu"), share=False, wait=False):
        assert [path.name for path in tmp_path.glob("*.lock")] == [f"drafthouse-{os.getuid()}-cpu.lock"]
    monkeypatch.setenv("USER", "")  # so that it is taken away again
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
    assert os.environ["USER"] == f"uid{os.getuid()}", "torch's compiler asks for it"


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("path", ["~/model", "~nosuchuser/model"])
def test_a_home_that_is_not_known_is_bad_input(path: str) -> None:
    with pytest.raises(InputError, match=rf"target.path is '{path}': ~ names no home folder"):
        resolve_folder(path, "target.path")


def test_no_folder_for_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device_lock.tempfile, "tempdir", str(tmp_path / "nowhere"))
    with device_lock.hold_device(torch.device("cpu"), share=False, wait=False):
        pass
    assert "warning: no lock for cpu" in capsys.readouterr().err


def test_a_current_folder_that_is_gone_is_named(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert compare.main(["here"]) == EXIT_BAD_INPUT
    assert errors(capsys.readouterr().err)
    assert command(monkeypatch, "plan=true") == EXIT_BAD_INPUT
    assert errors(capsys.readouterr().err) == [
        "error: the current folder is gone: expected to be started in one that exists"
    ]
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
