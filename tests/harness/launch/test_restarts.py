"""A run in several fresh processes. Here they are calls: what a process does is `work`, and `start` only starts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import read_config
from harness.launch import restarts
from harness.run import run
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.decoded_runs import generations

pytestmark = pytest.mark.usefixtures("blank_charts")


@pytest.fixture
def settings(pair: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    return {
        "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
        "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", 5, 1)},
        "drafters": {"mtp": {"path": pair["mtp"]}},
        "drafter": ["mtp"],
        "num_draft_tokens": 2,
        "max_new_tokens": 4,
        "costs": False,
        "restarts": 2,
    }


def test_each_process_decodes_repeats_of_its_own(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(restarts, "start", lambda task: restarts.work(json.loads(json.dumps(task))))
    outcome = restarts.run_restarts(settings, read_config(settings), tmp_path / "run")
    rows = generations(outcome)
    assert {(row["process"], row["repeat"], row["attempt"]) for row in rows} == {(0, 0, 1), (1, 1, 2)}
    assert len(rows) == 5 * 2 * 2
    (row,) = [row for row in outcome.summary["rows"] if row["arm"] == "mtp" and row["category"] == "all"]
    assert row["processes"] == 2
    assert outcome.exit_code == 0 and outcome.summary["run_to_run"]["processes"] == 2


def test_a_process_that_fails_ends_the_run_with_its_reason(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter([(0, None), (4, "mtp finished no prompt")])
    monkeypatch.setattr(restarts, "start", lambda task: next(codes))
    monkeypatch.setattr(restarts, "read_summary", lambda run_dir: {"rows": []})
    outcome = restarts.run_restarts(settings, read_config(settings), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (4, "process 2 of 2: mtp finished no prompt")


def test_bad_input_in_a_process_is_its_exit_code(settings: dict[str, Any], tmp_path: Path) -> None:
    task = {"config": {**settings, "repeats": 0}, "device": "cpu", "process": 0}
    code, error = restarts.work({**task, "run_dir": str(tmp_path), "command": [], "group": None})
    assert code == 2 and error is not None and "repeats=0" in error


def test_a_single_process_does_not_pass_for_several(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="restarts=2: expected the command, which starts the processes"):
        run(read_config(settings), tmp_path / "run")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"restarts": 0}, "restarts=0: expected 1 or more"),
        ({"until": {"margin": 0.03}}, "restarts=2 with until: it would stop on the intervals of a single process"),
    ],
)
def test_restarts_that_cannot_be_are_refused(settings: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config({**settings, **more})
