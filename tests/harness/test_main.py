"""The command as a user types it: table, JSON line, exit codes, and runs that survive being killed."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness import __main__ as entry
from harness.launch import job as job_module
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.interrupts import at_decode, interrupt
from tests.helpers.processes import Started, start

pytestmark = pytest.mark.usefixtures("blank_charts")

Command = Callable[..., int]


@pytest.fixture
def overrides(pair: dict[str, str], tmp_path: Path) -> list[str]:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    return [
        "target=path",
        f"target.path={pair['target']}",
        "target.device=cpu",
        f"drafters.mtp.path={pair['mtp']}",
        f"drafters.dflash.path={pair['dflash']}",
        "dataset=jsonl",
        f"dataset.path={prompts}",
        "max_new_tokens=6",
        "costs=false",
    ]


def last_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found


def test_a_run_prints_a_table_and_ends_with_one_json_line(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*overrides, f"hydra.run.dir={tmp_path / 'run'}") == EXIT_OK
    out = capsys.readouterr().out
    # A tiny model decodes far from its floor, which stands above the table.
    header, *rows = [line for line in out.splitlines() if not line.startswith("SLOW BASELINE: ")]
    assert header.split()[:4] == ["arm", "k", "tok/s", "speedup"]
    assert [row.split()[0] for row in rows[:3]] == ["baseline", "mtp", "dflash"]
    assert "  reference" in rows[0]
    assert "  2 exact" in rows[1]
    found = last_json(out)
    assert found["run_dir"] == str(tmp_path / "run")
    assert found["exit_code"] == 0
    assert {arm: figures["num_draft_tokens"] for arm, figures in found["arms"].items()} == {
        "baseline": 0,
        "mtp": 4,
        "dflash": 15,
    }
    assert found["arms"]["mtp"]["verdict_exact"] == 2
    assert (tmp_path / "run" / ".hydra" / "overrides.yaml").exists()


def test_a_sweep_runs_every_combination_that_fits(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["dataset.limit=1", f"hydra.sweep.dir={tmp_path}/s"]
    code = command("-m", *overrides, "drafter=dflash,mtp", "num_draft_tokens=16,2", *one)
    captured = capsys.readouterr()
    assert code == EXIT_OK
    found = [json.loads(line) for line in captured.out.splitlines() if line.startswith("{")]
    ran = [(Path(one["run_dir"]).name, *(arm for arm in one["arms"] if arm != "baseline")) for one in found]
    assert ran == [("1", "dflash"), ("2", "mtp"), ("3", "mtp")]
    assert "drafters.dflash.num_draft_tokens=16: expected 15 or less" in captured.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drafter=eagle", "error: drafter=eagle: unknown"),
        ("num_draft_tokens=0", "error: num_draft_tokens=0: expected 1 or more"),
        ("target.path=/nowhere/at/all", "/nowhere/at/all"),
        ("dataset.path=/nowhere.jsonl", "error: dataset.path=/nowhere.jsonl: expected a file of JSON"),
        ("num_draft_tokens=99", "error: drafters.dflash.num_draft_tokens=99"),
        ("max_new_tokens=5000", "positions, the target has 1024"),
        ("drafters.mtp.path=null", "error: drafters.mtp.path is empty"),
        ("+drafters.mtp.colour=red", "error: drafters.mtp.colour"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    change: str,
    message: str,
) -> None:
    assert command(*overrides, change, f"hydra.run.dir={tmp_path / 'run'}") == EXIT_BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("change", ["colour=red", "target=nonexistent", "decoding.colour=red"])
def test_a_configuration_that_does_not_compose_is_bad_input_too(
    overrides: list[str], command: Command, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    assert command(*overrides, change) == EXIT_BAD_INPUT
    assert "Traceback" not in capfd.readouterr().err


def test_a_fault_of_the_harness_is_no_bad_input(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(job_module, "run", broken)
    assert command(*overrides, f"hydra.run.dir={tmp_path / 'run'}") == EXIT_CRASH
    assert "RuntimeError: a fault" in capsys.readouterr().err


def test_ctrl_c_ends_the_sweep_with_what_is_there(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at_decode(monkeypatch, 5, interrupt)  # two warm-ups and one prompt's two arms came before
    arguments = ["-m", *overrides, "drafter=mtp", "num_draft_tokens=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    assert command(*arguments) == EXIT_INTERRUPTED
    captured = capsys.readouterr()
    [line] = [line for line in captured.out.splitlines() if line.startswith("{")]
    assert json.loads(line)["arms"]["mtp"]["generations"] == 1
    assert not (tmp_path / "s" / "1").exists(), "the next job did not start"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_run_leaves_its_summary(
    overrides: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    signal.signal(number, lambda *_: pytest.fail(f"{number.name} was not caught"))
    # Two warm-ups and one prompt's two arms came before.
    at_decode(monkeypatch, 5, lambda: signal.raise_signal(number))
    arguments = [*overrides, "drafter=mtp", f"hydra.run.dir={tmp_path / 'run'}"]
    assert command(*arguments) == EXIT_INTERRUPTED
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rows"]


def test_the_printed_command_continues_a_run_and_a_finished_one_says_that_it_is(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*overrides, "drafter=mtp", f"hydra.run.dir={tmp_path / 'two words'}"]
    with monkeypatch.context() as early:
        at_decode(early, 5, lambda: signal.raise_signal(signal.SIGTERM))
        assert command(*arguments[:-1], f"hydra.run.dir='{tmp_path / 'two words'}'") == EXIT_INTERRUPTED
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("interrupted: ")]
    words = shlex.split(said.split("`")[1])[3:]
    assert command(*words) == EXIT_OK
    assert "nothing decoded" not in capsys.readouterr().err
    assert len(lines(tmp_path / "two words")) == 4
    assert command(*words) == EXIT_OK
    again = capsys.readouterr()
    assert "complete, nothing decoded: the records below were written by 20" in again.err
    assert last_json(again.out)["arms"]["mtp"]["verdict_exact"] == 2
    assert len(lines(tmp_path / "two words")) == 4


@pytest.mark.usefixtures("own_signals")
def test_under_nohup_a_hang_up_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    entry.catch_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def lines(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "generations.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.slow
def test_a_run_killed_seven_times_continues_to_the_same_tokens(
    overrides: list[str], tmp_path: Path
) -> None:
    """Kills come at random moments between two generations, within one, and within the writing of one."""
    write_prompts(tmp_path / "prompts.jsonl", 16)
    moments = Random(0)

    def start_run(name: str) -> Started:
        return start(tmp_path, "harness", *overrides, "num_draft_tokens=3", f"hydra.run.dir={tmp_path / name}")

    def written() -> int:
        path = tmp_path / "killed" / "generations.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    kept: list[int] = []
    for _ in range(7):
        started = start_run("killed")
        enough = written() + moments.randrange(1, 5)
        while started.process.is_alive() and written() < enough:
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 0.05))
        started.kill()
        kept.append(len(lines(tmp_path / "killed")))
    assert kept == sorted(kept), "a kill never costs a finished generation"
    assert kept[0] < kept[-1] < 48, "killed in the middle"
    for name in ("killed", "undisturbed"):
        assert start_run(name).wait().returncode == EXIT_OK

    def tokens(name: str) -> dict[tuple[str, str], list[int]]:
        return {(row["prompt_id"], row["arm"]): row["token_ids"] for row in lines(tmp_path / name)}

    assert len(lines(tmp_path / "killed")) == 48, "every prompt exactly once"
    assert tokens("killed") == tokens("undisturbed")
