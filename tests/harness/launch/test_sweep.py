"""A sweep as a user types it: planned, dropped, failed, skipped, and continued after a kill."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import status
from harness.comparison import models
from harness.launch import job as job_module
from harness.records import disturbance
from harness.report.leaderboard.board import leaderboard
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK, ROOT
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.processes import Started, start

pytestmark = pytest.mark.usefixtures("blank_charts")

Command = Callable[..., int]


@pytest.fixture
def overrides(pair: dict[str, str], tmp_path: Path) -> list[str]:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    paths = ["target=path", f"target.path={pair['target']}", "target.device=cpu", "share_device=true"]
    drafters = [f"drafters.mtp.path={pair['mtp']}", f"drafters.dflash.path={pair['dflash']}"]
    return [*paths, *drafters, "dataset=jsonl", f"dataset.path={prompts}", "max_new_tokens=6", "costs=false"]


def sweep(command: Command, folder: Path, *arguments: str) -> int:
    return command("-m", *arguments, f"hydra.sweep.dir={folder}")


def jobs(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert status.main([str(folder), "--json"]) == EXIT_OK
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["jobs"]
    return found


def table(folder: Path) -> list[tuple[str, ...]]:
    """The part of a sweep's table that does not depend on the clock."""
    names = ("job", "state", "overrides", "arm", "category", "num_draft_tokens", "generations", "acceptance_length")
    return [tuple(row[name] for name in names) for row in read_rows(folder)]


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tokens(folder: Path) -> dict[tuple[str, ...], list[int]]:
    lines = [
        (path.parent.name, json.loads(line))
        for path in folder.glob("*/generations.jsonl")
        for line in path.read_text().splitlines()
    ]
    found = {(job, line["prompt_id"], line["arm"]): line["token_ids"] for job, line in lines}
    assert len(found) == len(lines), "every prompt exactly once"
    return found


def test_a_job_takes_over_the_baseline_of_another_but_for_a_sample(
    overrides: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(disturbance, "note", lambda *_: None)  # what a busy machine decoded is not borrowed
    grid = [*overrides, "drafter=mtp,dflash", "num_draft_tokens=2"]
    assert sweep(command, tmp_path / "own", *grid) == EXIT_OK
    assert sweep(command, tmp_path / "lent", *grid, "sweep.share_baseline=true") == EXIT_OK
    assert tokens(tmp_path / "lent") == tokens(tmp_path / "own"), "what is borrowed changes no token"
    lines = [json.loads(line) for line in (tmp_path / "lent" / "1" / "generations.jsonl").read_text().splitlines()]
    lent = {(line["arm"], line["prompt_id"]): line.get("borrowed_from") for line in lines}
    [first, second] = sorted({prompt for _, prompt in lent})
    assert lent[("baseline", first)] is None and lent[("baseline", second)] == "0"
    assert {lender for (arm, _), lender in lent.items() if arm != "baseline"} == {None}
    assert {line["verdict"] for line in lines if line["arm"] == "dflash"} == {"exact"}
    summary = json.loads((tmp_path / "lent" / "1" / "summary.json").read_text())
    assert "1 of 2 baselines were decoded in job 0, not beside the arms" in summary["noise"]["text"]
    assert "borrowed_baseline" in {guard["code"] for guard in summary["guards"]}
    dflash = next(row for row in summary["rows"] if row["arm"] == "dflash")
    assert dflash["paired_prompts"] == 2


def test_a_plan_lists_the_jobs_that_fit_and_runs_none(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    grid = ["drafter=mtp,dflash", "num_draft_tokens=2,16", "plan=true"]
    assert sweep(command, tmp_path / "s", *overrides, *grid) == EXIT_OK
    captured = capsys.readouterr()
    assert "3 jobs" in captured.out and "at least" in captured.out and "MiB" in captured.out
    assert "dropped 3 (drafter=dflash num_draft_tokens=16): drafters.dflash.num_draft_tokens=16" in captured.err
    assert not (tmp_path / "s" / "0").exists()


def test_the_plan_of_a_single_run(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*overrides, "plan=true", f"hydra.run.dir={tmp_path / 'run'}") == EXIT_OK
    assert "1 job" in capsys.readouterr().out
    assert not (tmp_path / "run" / "generations.jsonl").exists()


def test_a_misfit_is_a_row_with_its_reason_and_no_error(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["drafter=mtp,dflash", "num_draft_tokens=2,16", "dataset.limit=1"]
    models.release()
    assert sweep(command, tmp_path / "s", *overrides, *grid) == EXIT_OK
    found = jobs(tmp_path / "s", capsys)
    assert [job["state"] for job in found] == ["done", "done", "done", "dropped"]
    assert "expected 15 or less" in found[3]["reason"]
    assert {(row[0], row[1], row[3]) for row in table(tmp_path / "s") if row[4] in ("all", "")} == {
        ("0", "done", "baseline"), ("0", "done", "mtp"), ("1", "done", "baseline"), ("1", "done", "mtp"),
        ("2", "done", "baseline"), ("2", "done", "dflash"), ("3", "dropped", ""),
    }  # fmt: skip


def test_a_sweep_of_nothing_that_fits_is_bad_input(overrides: list[str], tmp_path: Path, command: Command) -> None:
    assert sweep(command, tmp_path / "s", *overrides, "drafter=eagle,medusa") == EXIT_BAD_INPUT


def test_a_failed_job_is_a_row_and_runs_again_alone(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, ran = job_module.run, []

    def run(config: Any, run_dir: Path, **options: Any) -> Any:
        ran.append(config.num_draft_tokens)
        if config.num_draft_tokens == 2 and len(ran) == 2:
            raise RuntimeError("CUDA out of memory")
        return real(config, run_dir, **options)

    monkeypatch.setattr(job_module, "run", run)
    one = [*overrides, "drafter=mtp", "dataset.limit=1"]
    grid = [*one, "num_draft_tokens=1,2,3"]
    assert sweep(command, tmp_path / "s", *grid) == 1
    found = jobs(tmp_path / "s", capsys)
    assert [job["state"] for job in found] == ["done", "failed", "done"]
    assert found[1]["reason"] == "RuntimeError: CUDA out of memory"
    assert ("1", "failed", "num_draft_tokens=2", "", "", "", "", "") in table(tmp_path / "s")

    assert sweep(command, tmp_path / "s", *grid) == EXIT_OK
    assert ran == [1, 2, 3, 2], "finished jobs are not run again"
    assert {job["state"] for job in jobs(tmp_path / "s", capsys)} == {"done"}

    wider = [*one, "num_draft_tokens=4,1,2,3"]
    assert sweep(command, tmp_path / "s", *wider) == EXIT_OK
    assert ran[4:] == [4], "a wider sweep keeps the numbers of its jobs"
    assert {row[0] for row in table(tmp_path / "s") if row[5] == "4"} == {"3"}


def test_a_job_whose_prompts_changed_is_run_anew(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its earlier records are kept where no table counts them."""
    grid = [*overrides, "drafter=mtp", "num_draft_tokens=1"]
    folder = tmp_path / "s"
    assert sweep(command, folder, *grid) == EXIT_OK
    earlier = (folder / "0" / "generations.jsonl").read_bytes()
    write_prompts(tmp_path / "prompts.jsonl", 3)
    assert sweep(command, folder, *grid) == EXIT_OK
    said = capsys.readouterr().err
    assert "job 0 is run anew, it differs in config.prompts.rendered_sha256: " in said
    assert "; config.prompts.asked.p2." in said and "superseded/0-1" in said
    assert {prompt for _, prompt, _ in tokens(folder)} == {"p0", "p1", "p2"}
    assert (folder / "superseded" / "0-1" / "generations.jsonl").read_bytes() == earlier
    assert [run.label for run in leaderboard([folder]).runs] == ["0"]
    [job] = jobs(folder, capsys)
    assert job["state"] == "done"


def test_settings_that_change_nothing_leave_a_finished_sweep_finished(
    overrides: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "s"
    assert sweep(command, folder, *overrides, "drafter=mtp", "num_draft_tokens=1") == EXIT_OK
    monkeypatch.setattr(job_module, "run", lambda *a, **k: pytest.fail("run again"))
    other = ["num_draft_tokens=1", "strict=false", "retry_errors=true", "drafter=mtp", "+engine.start_timeout_s=5"]
    assert sweep(command, folder, *reversed(overrides), *other) == EXIT_OK
    assert [job["state"] for job in jobs(folder, capsys)] == ["done"]


def test_the_status_of_what_is_no_sweep_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(tmp_path)]) == EXIT_BAD_INPUT
    assert "no sweep.json" in capsys.readouterr().err


def test_the_status_of_a_run_counts_its_generations_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path
    manifest = {"config": {"repeats": 1}, "prompts": {"turns": 2}, "arms": [{"name": "baseline"}, {"name": "mtp"}],
                "command": ["drafthouse", "dataset.limit=2"]}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "generations.jsonl").write_text("{}\n" * 3)
    assert status.main([str(folder)]) == EXIT_OK
    said = capsys.readouterr().out
    assert said.startswith("unfinished run: 3 of 4 generations; `")
    assert "dataset.limit=2" in said and f"hydra.run.dir={folder}" in said
    (folder / "generations.jsonl").write_text("{}\n" * 4)
    assert status.main([str(folder), "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["finished"] is True


def generations(folder: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("*/generations.jsonl"))


def start_sweep(folder: Path, *arguments: str) -> Started:
    return start(folder.parent, "harness", "-m", *arguments, f"hydra.sweep.dir={folder}")


def kill_after(started: Started, folder: Path, count: int) -> None:
    while started.process.is_alive() and generations(folder) < count:
        time.sleep(0.02)
    started.kill()


def test_a_killed_sweep_ends_with_the_same_table(
    overrides: list[str], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    write_prompts(tmp_path / "prompts.jsonl", 3)
    grid = [*overrides, "drafter=mtp,dflash", "num_draft_tokens=1,3"]
    kill_after(start_sweep(tmp_path / "killed", *grid), tmp_path / "killed", 9)
    assert 9 <= generations(tmp_path / "killed") < 24, "killed in the middle"
    states = [job["state"] for job in jobs(tmp_path / "killed", capsys)]
    assert "done" in states and "pending" in states and "running" not in states
    for name in ("killed", "undisturbed"):
        assert sweep(command, tmp_path / name, *grid) == EXIT_OK
    assert table(tmp_path / "killed") == table(tmp_path / "undisturbed")
    assert tokens(tmp_path / "killed") == tokens(tmp_path / "undisturbed")
    rows = read_rows(tmp_path / "killed")
    drafting = [row for row in rows if row["arm"] != "baseline"]
    assert [name for name in rows[0] if not any(row[name] for row in drafting)] == [], "columns that are always empty"
    assert all(float(row["acceptance_length"]) >= 1 and float(row["speedup_decode"]) > 0 for row in drafting)


@pytest.mark.slow
@pytest.mark.skipif("slow" not in sys.argv, reason="make test-sweep")
def test_the_embedded_pair_in_24_jobs_killed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sorted({json.loads(line)["category"] for line in (ROOT / "harness/assets/prompts.jsonl").open()})[:3]
    categories = "dataset.categories=" + ",".join(f"[{name}]" for name in found)
    grid = ["drafter=mtp,dflash", "num_draft_tokens=1,2,4,8", categories, "dataset.limit=3", "max_new_tokens=16"]
    grid += ["target.device=cpu", "share_device=true"]
    for count in (30, 80):
        kill_after(start_sweep(tmp_path / "killed", *grid), tmp_path / "killed", count)
        assert generations(tmp_path / "killed") >= count
    for name in ("killed", "undisturbed"):
        assert start_sweep(tmp_path / name, *grid).wait().returncode == EXIT_OK
    assert len(jobs(tmp_path / "killed", capsys)) == 24
    assert table(tmp_path / "killed") == table(tmp_path / "undisturbed")
    assert tokens(tmp_path / "killed") == tokens(tmp_path / "undisturbed")
