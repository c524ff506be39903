"""A run whose thread count is chosen by speed: it changes between prompts only, and every record says where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.comparison import threads as threads_module
from harness.comparison.threads import PROBE, VARIABLE, Threads
from harness.decoding.thread_race import Race, thread_count_kept
from harness.run import run
from tests.helpers.decoded_runs import Configure, generations


@pytest.mark.usefixtures("blank_charts")
def test_a_change_falls_between_prompts_and_stands_in_the_records(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe says 2, and after the first prompt 1."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(threads_module, "usable_cpus", lambda: 2)
    counts = iter([2, 1, 1, 1])

    def race(*_: Any, **__: Any) -> Race:
        count = next(counts)
        torch.set_num_threads(count)
        return Race(count, {1: 0.006, 2: 0.005})

    monkeypatch.setattr(threads_module, "race", race)
    looked: list[bool] = []

    def due(*_: Any) -> bool:
        looked.append(True)
        return len(looked) == 2

    monkeypatch.setattr(Threads, "due", due)
    with thread_count_kept():
        outcome = run(configure(count=3, drafter=["mtp"], num_draft_tokens=1, max_new_tokens=2), tmp_path / "run")
    rows = generations(outcome)
    assert {(row["prompt_id"], row["machine"]["threads"]) for row in rows} == {("p0", 2), ("p1", 1), ("p2", 1)}
    manifest = json.loads((outcome.run_dir / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["threads"] == {"asked": "auto", "count": 2, "why": PROBE, "milliseconds": {"1": 6.0, "2": 5.0}}
    assert manifest["hardware"]["torch_threads"] == 2
    [changed] = manifest["attempts"][0]["threads_changed"]
    assert (changed["before_prompt"], changed["count"]) == ("p1", 1)
    [guard] = [one for one in outcome.summary["guards"] if one["code"] == "threads_changed"]
    assert "1 in 4, 2 in 2" in guard["message"]
