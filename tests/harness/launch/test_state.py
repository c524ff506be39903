"""A job is known by its settings in any order and by its files, and runs again if either changed."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from drafters.errors import InputError
from harness.config import RunConfig, read_config
from harness.launch.state import Sweep, fingerprint, in_order, read_note, read_sweep, set_aside, setting
from harness.launch.sweep import _identifying, left_to_do
from harness.records.files import find_runs
from harness.records.journal_files import open_locked
from tests.helpers.recorded_run import record


def configured(folder: Path, **options: Any) -> RunConfig:
    (folder / "prompts.jsonl").touch()
    paths = {"target": {"path": str(folder / "target")}, "dataset": {"path": str(folder / "prompts.jsonl")}}
    return read_config({**paths, **options})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["a=1", "b=2"], ["b=2", "a=1"], True),
        (["a=1", "b=2"], ["a=2", "b=1"], False),
        (["a=1", "a=2"], ["a=2"], True),
        (["a=1", "a=2"], ["a=2", "a=1"], False),
        (["dataset=gsm8k", "dataset.limit=3"], ["dataset.limit=3", "dataset=gsm8k"], True),
        (["m={x: 1}", "m.x=2"], ["m.x=2", "m={x: 1}"], False),
        ([], [], True),
        ([], ["a=1"], False),
    ],
)
def test_overrides_in_another_order_are_the_same_job(one: list[str], other: list[str], same: bool) -> None:
    assert (in_order(one) == in_order(other)) == same
    sweep = Sweep(Path("nowhere"))
    assert (sweep.job_for(one) is sweep.job_for(other)) == same


@pytest.mark.parametrize(
    ("override", "name"),
    [("a.b=c=d", "a.b"), ("+hydra/launcher=joblib", "hydra.launcher"), ("~a", "a"), ("tracking@x=wandb", "tracking")],
)
def test_an_override_names_its_setting(override: str, name: str) -> None:
    assert setting(override) == name


def test_overrides_that_change_nothing_make_no_other_job() -> None:
    nothing = ["tracking=wandb", "tracking.project=x", "strict=false", "++plan=true", "hydra/launcher=joblib"]
    nothing += ["published=x", "engine.start_timeout_s=5"]
    assert _identifying(["seed=1", *nothing, "planned=1"]) == ["seed=1", "planned=1"]


def test_the_fingerprint_leaves_out_what_changes_nothing(tmp_path: Path) -> None:
    same = [{}, {"strict": False}, {"retry_errors": True}, {"published": "x"}, {"engine": {"start_timeout_s": 1.0}}]
    assert len({fingerprint(configured(tmp_path, **options)) for options in same}) == 1
    assert fingerprint(configured(tmp_path)) != fingerprint(configured(tmp_path, seed=1))


@pytest.mark.parametrize("what", ["prompts", "weights"])
def test_the_fingerprint_changes_with_what_files_hold(tmp_path: Path, what: str) -> None:
    """A checkpoint that was trained on, in the folder of the one before, is another model."""
    (tmp_path / "target").mkdir()

    def made(number: int) -> str:
        (tmp_path / "prompts.jsonl").write_text(str(number if what == "prompts" else 0))
        tensors = {"a": torch.tensor([number if what == "weights" else 0])}
        save_file(tensors, tmp_path / "target" / "model.safetensors")
        return fingerprint(configured(tmp_path))

    assert made(1) == made(1) != made(2)


@pytest.mark.parametrize("verdict", ["exact", "mismatch"])
def test_a_finished_job_with_a_mismatch_is_not_finished_once_it_is_strict(tmp_path: Path, verdict: str) -> None:
    record(tmp_path / "0", verdict=verdict)
    assert left_to_do(tmp_path / "0", configured(tmp_path, strict=False)) is None
    left = left_to_do(tmp_path / "0", configured(tmp_path, strict=True))
    assert left == ("it holds a mismatch, which strict=true does not let pass" if verdict == "mismatch" else None)


def test_errors_of_a_finished_job_are_tried_again_where_that_is_asked_for(tmp_path: Path) -> None:
    record(tmp_path / "0")
    path = tmp_path / "0" / "summary.json"
    summary = json.loads(path.read_text())
    for row in summary["rows"]:
        row["errors"] = 1
    path.write_text(json.dumps(summary))
    assert left_to_do(tmp_path / "0", configured(tmp_path)) is None
    assert left_to_do(tmp_path / "0", configured(tmp_path, retry_errors=True)) is not None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "finished"}'])
def test_a_note_that_says_nothing_known_is_no_note(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    assert read_note(tmp_path) is None


def test_a_running_job_without_a_process_is_not_running(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    note = {"state": "running", "host": socket.gethostname()}
    (tmp_path / "0" / "job.json").write_text(json.dumps(note))
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [{"job": 0, "overrides": []}]}))
    assert [job.state for job in read_sweep(tmp_path).jobs] == ["pending"]


def test_records_that_are_set_aside_are_kept_and_counted_by_nothing(tmp_path: Path) -> None:
    for number in (1, 2):
        record(tmp_path / "0")
        (tmp_path / "0" / ".hydra").mkdir(exist_ok=True)
        assert find_runs(tmp_path) == [tmp_path / "0"]
        names = {path.name for path in (tmp_path / "0").iterdir()} - {".hydra"}
        aside = set_aside(tmp_path / "0")
        assert aside == tmp_path / "superseded" / f"0-{number}"
        assert {path.name for path in aside.iterdir()} == names
        assert [path.name for path in (tmp_path / "0").iterdir()] == [".hydra"]
        with pytest.raises(InputError):
            find_runs(tmp_path)
        assert find_runs(aside) == [aside], "asked for by name they can be read"


def test_records_that_are_being_written_stay(tmp_path: Path) -> None:
    record(tmp_path / "0")
    with (
        open_locked(tmp_path / "0" / "generations.jsonl"),
        pytest.raises(InputError, match="another process is writing"),
    ):
        set_aside(tmp_path / "0")
    assert not (tmp_path / "superseded").exists()
