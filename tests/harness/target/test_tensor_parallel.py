"""A target shared by two processes decodes the same tokens as one in a single process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness import load_target
from tests.helpers import tiny_models as tiny
from tests.helpers.checkpoint_folders import write_pair, write_prompts
from tests.helpers.parallel_worker import SHARABLE, answers, share_every_structure
from tests.helpers.processes import Ended, run_as_main, start, together


def test_two_processes_share_a_target_of_every_structure(tmp_path: Path) -> None:
    models = {name: tiny.target_model(name, **SHARABLE) for name in tiny.EVERY_STRUCTURE}
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
    done = together(tmp_path, 2, share_every_structure, str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    for name, model in models.items():
        assert found[name].pop("placement") == ["cpu, shared by 2 processes", "eager"]
        assert found[name] == answers(load_target(str(tmp_path / name)), model), name


def test_a_run_together_is_the_same_run_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, **SHARABLE)
    settings = ["target=path", f"target.path={pair['target']}", "target.dtype=float32", "target.device=cpu"]
    settings += [f"drafters.{name}.path={pair[name]}" for name in ("mtp", "dflash")]
    settings += ["dataset=jsonl", f"dataset.path={write_prompts(tmp_path / 'p.jsonl', 3)}", "max_new_tokens=8"]
    settings += ["num_draft_tokens=3", "share_device=true"]

    def run_alone(name: str) -> tuple[dict[Any, Any], list[Any]]:
        return found(name, start(tmp_path, "harness", *settings, f"hydra.run.dir={tmp_path / name}").wait())

    def run_together(name: str, again: int = 0) -> tuple[dict[Any, Any], list[Any]]:
        arguments = [*settings, "target.tp_plan=auto", f"hydra.run.dir={tmp_path / name}"]
        return found(name, together(tmp_path, 2, run_as_main, str(tmp_path), "harness", *arguments), again)

    def found(name: str, done: Ended, again: int = 0) -> tuple[dict[Any, Any], list[Any]]:
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("run_dir") == 1, "one process speaks"
        rows = [json.loads(line) for line in (tmp_path / name / "generations.jsonl").read_text().splitlines()]
        summary = json.loads((tmp_path / name / "summary.json").read_text())["rows"]
        keys = ("arm", "category", "acceptance_length", "verdict_exact")
        tokens = {(row["prompt_id"], row["arm"]): row["token_ids"] for row in rows}
        assert len(rows) - len(tokens) == again, "every prompt exactly once, but for a turn that was cut in two"
        return tokens, [[row[key] for key in keys] for row in summary]

    alone = run_alone("alone")
    assert run_together("together") == alone
    journal = tmp_path / "together" / "generations.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:4]))
    assert run_together("together", again=1) == alone


def test_one_process_is_sent_to_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.target_model().save_pretrained(tmp_path)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match=r"target\.tp_plan is 'auto' in a single process, expected torchrun"):
        load_target(str(tmp_path), tp_plan="auto")


@pytest.mark.parametrize(
    ("count", "message"),
    [(2, r"over 2 processes: this target has 1 full_attention key/value heads"), (3, r"has 4 attention heads")],
)
def test_heads_that_cannot_be_shared_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, message: str
) -> None:
    tiny.target_model().save_pretrained(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", str(count))
    with pytest.raises(InputError, match=message):
        load_target(str(tmp_path), tp_plan="auto")
