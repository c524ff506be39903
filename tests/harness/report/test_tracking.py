"""The W&B mirror holds the figures of the files, and cannot hurt a run."""

from __future__ import annotations

import builtins
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import upload
from harness.comparison import manifest
from harness.config import TrackingConfig, read_config
from harness.records.files import MANIFEST, REPORT, SUMMARY_JSON
from harness.report.tracking import mirror
from harness.report.tracking import tracker as tracking
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers.recorded_run import record
from tests.helpers.wandb_file import Written, read_back, records

OFFLINE = TrackingConfig("wandb", mode="offline", tags=["mine"], arm_runs=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recorded") / "day" / "run")


@pytest.fixture
def run_dir(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "day" / "run"))


def manifest_of(run_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_dir / MANIFEST).read_text(encoding="utf-8"))
    return found


def tracked(run_dir: Path, exit_code: int = 0, group: str | None = "sweep-7") -> Written:
    with tracking.start_tracking(OFFLINE, run_dir, manifest_of(run_dir), group) as tracker:
        tracker.finish(exit_code)
    [written] = read_back(run_dir)
    return written


def write_a_manifest(run_dir: Path) -> dict[str, Any]:
    config = read_config({"target": {"path": "nowhere"}, "dataset": {"path": "nowhere.jsonl"}})
    return manifest.write_manifest(
        *(run_dir,), config=config, run_key="0123", models={}, arms=[], prompts={}, target={}, threads={},
        device=torch.device("cpu"), command=[],
    )  # fmt: skip


def figures(written: Written) -> dict[str, Any]:
    return {name: value for name, value in written.summary.items() if name.startswith(("baseline", "mtp", "dflash"))}


def table_of(run_dir: Path, written: Written, name: str) -> dict[str, Any]:
    [file] = run_dir.glob(f"wandb/*run-*/files/{written.history[f'{name}/path']}")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_the_written_run_is_read_back_with_the_figures(run_dir: Path) -> None:
    written = tracked(run_dir)
    assert written.run.project == "drafthouse"
    assert written.run.run_group == "sweep-7"
    assert written.run.job_type == "mtp+dflash"
    assert sorted(written.run.tags) == ["dflash", "mine", "mtp"]
    assert written.run.display_name == "mtp-k3+dflash-k3 day/run"
    assert written.exit_code == 0
    assert written.summary["mtp/acceptance_length"] == 3.0
    assert written.summary["mtp/speedup_decode"] == pytest.approx(2.5)
    assert written.summary["mtp/verdict_exact"] == 6
    assert written.summary["dflash_vs_mtp/speedup_decode"] == pytest.approx(1.0)
    assert written.config["max_new_tokens"] == 13
    assert written.config["manifest"]["run_key"] == manifest_of(run_dir)["run_key"]
    assert "s3cr3t" not in json.dumps(written.config)


def test_a_synthetic_run_is_tagged_as_one(run_dir: Path) -> None:
    for name in (MANIFEST, SUMMARY_JSON):
        kept = json.loads((run_dir / name).read_text(encoding="utf-8"))
        (run_dir / name).write_text(json.dumps({**kept, "synthetic": "Random weights (target)."}), encoding="utf-8")
    written = tracked(run_dir)
    assert "synthetic" in written.run.tags
    assert written.config["manifest"]["synthetic"] == written.summary["synthetic"] == "Random weights (target)."


def test_the_command_line_as_typed_is_not_sent(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "tracking.api_key=s3cr3t"])
    tracked(run_dir)
    assert all(b"s3cr3t" not in path.read_bytes() for path in (run_dir / "wandb").rglob("*") if path.is_file())


def test_tables_and_plot_hold_prompts_rounds_and_positions(run_dir: Path) -> None:
    written = tracked(run_dir)
    prompts = table_of(run_dir, written, "tables/prompts")
    assert len(prompts["data"]) == 6 * 3
    assert {row[prompts["columns"].index("verdict")] for row in prompts["data"]} == {None, "exact"}
    rounds = table_of(run_dir, written, "tables/rounds")
    assert len(rounds["data"]) == 6 * (12 + 4 + 4)
    positions = table_of(run_dir, written, "tables/positions")
    assert [row for row in positions["data"] if row[0] == "mtp"] == [
        ["mtp", 1, 1.0, 1.0],
        ["mtp", 2, 1.0, 1.0],
        ["mtp", 3, 0.0, 0.0],
    ]
    assert any("acceptance_by_position" in name for name in written.history)


def test_the_artifact_holds_the_raw_files(run_dir: Path) -> None:
    (run_dir / "report.html").write_text("<html></html>", encoding="utf-8")
    assert set(tracked(run_dir).artifact_files) >= {
        "summary.json", "summary.csv", "manifest.json", "rounds.parquet", "generations.jsonl", "report.html",
    }  # fmt: skip


def test_the_artifact_is_a_version_of_the_results_of_its_target_and_dataset(run_dir: Path) -> None:
    manifest = manifest_of(run_dir) | {"prompts": {"dataset": "gsm8k"}, "git": {"commit": "0123456789abcdef"}}
    manifest["config"] |= {"target": {"name": "31b"}}
    (run_dir / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    written = tracked(run_dir)
    assert written.artifact == "results-31b-gsm8k"
    assert {*written.aliases} == {"latest", "k3", "2026-01-02", "0123456789"}


def test_the_page_is_a_panel(run_dir: Path) -> None:
    (run_dir / REPORT).write_text("<html><p>the page</p></html>", encoding="utf-8")
    written = tracked(run_dir)
    assert written.history["report/_type"] == "html-file"
    [file] = run_dir.glob(f"wandb/*run-*/files/{written.history['report/path']}")
    assert file.read_text(encoding="utf-8") == "<html><p>the page</p></html>", "as it is"


def test_every_prompt_and_every_arm_is_a_row_of_history_over_its_own_axis(run_dir: Path) -> None:
    written = tracked(run_dir)
    prompts = [row for row in written.rows if "prompt" in row]
    assert [row["prompt"] for row in prompts] == [1, 2, 3, 4, 5, 6]
    assert {row["prompts/mtp/acceptance_length"] for row in prompts} == {3.0}
    assert [row["prompts/dflash/speedup_decode"] for row in prompts] == pytest.approx([2.5] * 6)
    assert prompts[0]["prompts/baseline/decode_tok_s"] == pytest.approx(100.0)
    assert written.axes["prompts/*"] == "prompt"
    arms = [row for row in written.rows if "arm" in row]
    assert [(row["arm"], row["k"]) for row in arms] == [("dflash", 3), ("mtp", 3)]
    assert written.axes["speedup_decode"] == written.axes["acceptance_length"] == "k"
    assert "mtp/*" in written.hidden and "mtp/speedup_decode" not in written.hidden


def test_no_place_of_this_machine_is_sent(run_dir: Path, tmp_path: Path) -> None:
    manifest = manifest_of(run_dir)
    manifest["config"]["dataset"] = {"path": str(tmp_path / "my prompts.jsonl")}
    manifest["command"] = ["harness", f"dataset.path={tmp_path}/my.jsonl"]
    manifest["models"] = {"target": {"path": f"{tmp_path}/checkpoints/mine"}}
    (run_dir / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    (run_dir / "errors.log").write_text(f'  File "{tmp_path}/harness/run.py", line 3\n', encoding="utf-8")
    written = tracked(run_dir)
    assert str(tmp_path) not in json.dumps(written.config)
    assert written.config["dataset"]["path"] == ".../my prompts.jsonl"
    assert written.config["manifest"]["command"] == ["harness", "dataset.path=.../my.jsonl"]
    assert written.config["target_name"] == "mine"
    assert {"manifest.json", "errors.log"} <= {*written.artifact_files}


def test_the_run_says_where_it_is_when_it_begins_and_ends(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracked(run_dir)
    [begun, ended] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B: ")]
    [folder] = run_dir.glob("wandb/offline-run-*")
    assert begun == f"W&B: offline, in {folder}"
    assert ended == f"W&B: `wandb sync {folder}` sends the run"


def test_an_online_run_is_its_link() -> None:
    run = SimpleNamespace(offline=False, url="https://wandb.example/me/drafthouse/runs/7")
    assert tracking.link(run) == tracking.link(run, ended=True) == "https://wandb.example/me/drafthouse/runs/7"


def test_a_failed_job_ends_as_failed(run_dir: Path) -> None:
    assert tracked(run_dir, exit_code=3).exit_code == 3


def test_a_job_that_never_got_to_its_end_is_failed_too(run_dir: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        tracking.start_tracking(OFFLINE, run_dir, manifest_of(run_dir), None),
    ):
        raise RuntimeError("a fault of the harness")
    [written] = read_back(run_dir)
    assert written.exit_code == 1


def test_two_jobs_of_one_process_are_two_runs(recorded: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(recorded, tmp_path / "sweep" / name)) for name in ("0", "1")]
    written = [tracked(folder) for folder in folders]
    assert len({one.run.run_id for one in written}) == 2
    assert [one.exit_code for one in written] == [0, 0]


def test_an_outage_is_a_warning(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outage(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tracking, "open_run", outage)
    with tracking.start_tracking(OFFLINE, run_dir, manifest_of(run_dir), None) as tracker:
        tracker.finish(0)
    assert "warning: tracking: could not start a run (ConnectionError: no route to host)" in capsys.readouterr().err


def test_an_outage_at_the_end_is_a_warning_and_the_run_is_closed(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outage(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(mirror, "tables", outage)
    assert tracked(run_dir).exit_code == 0
    assert "could not mirror the run's files (ConnectionError: gone)" in capsys.readouterr().err


def test_without_tracking_wandb_is_never_imported(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        assert not name.startswith("wandb"), "imported without being asked for"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)
    with tracking.start_tracking(TrackingConfig(), run_dir, manifest_of(run_dir), None) as tracker:
        tracker.finish(0)
    assert not (run_dir / "wandb").exists()


def test_auto_is_offline_where_there_are_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert tracking.choose_mode("auto") == "offline"
    assert "stays offline" in capsys.readouterr().err
    assert tracking.choose_mode("offline") == "offline"


@pytest.mark.parametrize(("mode", "variable"), [("online", ""), ("auto", "online"), ("auto", "run")])
def test_online_without_a_login_stays_offline_with_one_line(
    mode: str, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr("wandb.login", lambda **_: False)
    assert tracking.choose_mode(mode) == "offline"
    [line] = capsys.readouterr().err.splitlines()
    assert f"{'tracking.mode=online' if mode == 'online' else f'WANDB_MODE={variable}'} without a login" in line
    monkeypatch.setattr("wandb.login", lambda **_: True)
    assert tracking.choose_mode(mode) == "online"


def test_wandbs_offline_keeps_a_run_here_whatever_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("wandb.login", lambda **_: pytest.fail("asked for credentials"))
    assert tracking.choose_mode("online") == "offline"


@pytest.mark.parametrize("word", ["dryrun", "offline"])
def test_wandbs_older_word_for_offline_is_understood(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", word)
    monkeypatch.setattr("wandb.login", lambda **_: pytest.fail("asked for credentials"))
    assert tracking.choose_mode("auto") == "offline"


def test_an_unknown_word_for_the_mode_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "of")
    monkeypatch.setattr("wandb.login", lambda **_: False)
    assert tracking.choose_mode("auto") == "offline"
    assert "WANDB_MODE=of is unknown, expected one of online, run, offline, dryrun, disabled" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["auto", "offline"])
@pytest.mark.parametrize(("name", "word"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")])
def test_wandbs_own_switch_turns_tracking_off(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, word: str, mode: str
) -> None:
    monkeypatch.setenv(name, word)
    config = TrackingConfig("wandb", mode=mode)
    with tracking.start_tracking(config, run_dir, manifest_of(run_dir), None) as tracker:
        tracker.finish(0)
    assert not (run_dir / "wandb").exists()
    assert f"W&B is switched off by {name}={word}" in capsys.readouterr().err
    assert upload.main([str(run_dir), "--mode", mode]) == EXIT_BAD_INPUT
    assert f"error: W&B is switched off by {name}={word}, nothing was uploaded" in capsys.readouterr().err
    assert not (run_dir / "wandb").exists()


def test_two_runs_that_begin_alike_have_two_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One configuration, one second, folders of one name: job 0 of two sweeps."""
    monkeypatch.setattr(manifest, "hardware", lambda _: {})
    ids = []
    for sweep in ("one", "two", "two"):
        folder = tmp_path / sweep / "0"
        folder.mkdir(parents=True, exist_ok=True)
        written = write_a_manifest(folder)
        ids.append(tracking.run_id({**written, "created": "2026-01-02T03:04:05+00:00"}, folder, "online"))
    assert ids[0] != ids[1], "two runs"
    assert ids[1] == ids[2], "one run, continued"


def test_a_run_of_an_earlier_version_keeps_its_id(run_dir: Path) -> None:
    """A run that is tracked already is resumed, not uploaded again."""
    digest = hashlib.sha256(f"{manifest_of(run_dir)['run_key']} 2026-01-02T03:04:05+00:00 run".encode()).hexdigest()
    assert tracking.run_id(manifest_of(run_dir), run_dir, "online") == digest[:12]


def test_offline_attempts_at_one_directory_have_ids_of_their_own(run_dir: Path) -> None:
    found = manifest_of(run_dir)
    first = tracking.run_id(found, run_dir, "offline")
    found["attempts"] *= 2
    assert tracking.run_id(found, run_dir, "offline") == f"{first}-2"
    assert tracking.run_id(found, run_dir, "online") == first


def test_upload_rebuilds_a_run_from_its_files(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = tracked(run_dir, group=None)
    shutil.rmtree(run_dir / "wandb")
    assert upload.main([str(run_dir), "--mode", "offline"]) == EXIT_OK
    [rebuilt] = read_back(run_dir)
    assert figures(rebuilt) == figures(live) != {}
    assert rebuilt.config["max_new_tokens"] == live.config["max_new_tokens"]
    assert rebuilt.exit_code == 0
    assert rebuilt.run.run_id in capsys.readouterr().out


def test_a_file_that_is_still_being_written_holds_what_is_whole(run_dir: Path, tmp_path: Path) -> None:
    assert upload.main([str(run_dir), "--mode", "offline"]) == EXIT_OK
    read_back(run_dir)  # waits for the last record
    [written] = run_dir.rglob("run-*.wandb")
    whole, data = list(records(written)), written.read_bytes()
    for cut in range(1, 200):
        (tmp_path / "cut").write_bytes(data[:-cut])
        kept = list(records(tmp_path / "cut"))
        assert kept == whole[: len(kept)] and len(kept) < len(whole)


def test_upload_takes_a_sweep_as_one_group_and_marks_failures(tmp_path: Path) -> None:
    record(tmp_path / "my-sweep" / "0")
    record(tmp_path / "my-sweep" / "1", verdict="mismatch")
    assert upload.main([str(tmp_path / "my-sweep"), "--mode", "offline"]) == EXIT_OK
    written = read_back(tmp_path)
    assert {one.run.run_group for one in written} == {"my-sweep"}
    jobs = [one for one in written if one.run.job_type == "mtp+dflash"]
    assert sorted(one.exit_code or 0 for one in jobs) == [0, 1]
    assert Counter(one.run.job_type for one in written) == {"mtp+dflash": 2, "arm": 4, "leaderboard": 1}


def test_upload_summarises_a_run_that_was_killed_before_it_could(run_dir: Path) -> None:
    (run_dir / "summary.json").unlink()
    assert upload.main([str(run_dir), "--mode", "offline"]) == EXIT_OK
    assert read_back(run_dir)[0].summary["mtp/acceptance_length"] == 3.0


def test_upload_of_nothing_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upload.main([str(tmp_path)]) == EXIT_BAD_INPUT
    assert "expected a run directory" in capsys.readouterr().err
