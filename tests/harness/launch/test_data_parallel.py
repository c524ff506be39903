"""A data-parallel run is the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.launch.data_parallel import Processes, processes
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.processes import run_as_main, start, together


def test_one_process_where_no_launcher_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert processes() == Processes(0, 1, 0)


def test_many_processes_need_a_place_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match="expected accelerate launch or torchrun"):
        processes()


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "two"), ("WORLD_SIZE", "0"), ("RANK", ""), ("RANK", "-1")])
def test_a_launchers_word_that_is_no_count_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name}={value}: expected an integer from"):
        processes()


@pytest.mark.parametrize("missing", ["MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK"])
def test_a_process_of_many_that_does_not_know_its_place_is_refused(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    whole = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "1", "LOCAL_RANK": "1"}
    for name, value in whole.items():
        monkeypatch.setenv(name, value)
    assert processes() == Processes(1, 2, 1)
    monkeypatch.delenv(missing)
    with pytest.raises(InputError, match=f"WORLD_SIZE=2 without {missing}"):
        processes()


def test_two_processes_give_the_tokens_and_acceptance_of_one(pair: dict[str, str], tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 5)
    settings = ["target=path", f"target.path={pair['target']}", "target.device=cpu", "dataset=jsonl"]
    settings += [f"dataset.path={prompts}", f"drafters.mtp.path={pair['mtp']}", "drafter=[mtp]", "share_device=true"]
    settings += ["max_new_tokens=8", "decoding=sampling", "decoding.temperature=1.0", "num_draft_tokens=3"]
    settings += ["costs=false"]

    def recorded(name: str) -> tuple[dict[Any, Any], list[Any]]:
        lines = [json.loads(line) for line in (tmp_path / name / "generations.jsonl").read_text().splitlines()]
        rows = json.loads((tmp_path / name / "summary.json").read_text())["rows"]
        keys = ("arm", "category", "acceptance_length", "acceptance_rate", "generations")
        counted = [[row[key] for key in keys] for row in rows]
        found = {(line["prompt_id"], line["arm"]): line["token_ids"] for line in lines}
        assert len(found) == len(lines), "every prompt exactly once"
        return found, counted

    one, two = ([*settings, f"hydra.run.dir={tmp_path / name}"] for name in ("one", "two"))
    assert start(tmp_path, "harness", *one).wait().returncode == 0
    done = together(tmp_path, 2, run_as_main, str(tmp_path), "harness", *two)
    assert done.returncode == 0, done.stderr[-3000:]
    assert recorded("one") == recorded("two")
    assert not (tmp_path / "two" / "processes").exists()
