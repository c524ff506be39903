"""The console's tables show names, overrides and reasons unchanged, brackets included."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.launch import estimate as plan
from harness.launch.state import Job, Sweep
from harness.records.progress import RunProgress
from harness.report.console import arms_table, published_table
from harness.status import as_table

OVERRIDE = "drafter=[mtp,dflash]"
REASON = "dataset.path=/a[/data]/b[red].jsonl: no such file"


def printed(content: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(content)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def sweep_of(folder: Path) -> Sweep:
    return Sweep(folder, [Job(0, [OVERRIDE], "failed", REASON), Job(1, ["drafter=[mtp]"], "done")])


def test_the_status_of_a_sweep_shows_lists_and_reasons_whole(tmp_path: Path) -> None:
    text = printed(as_table(sweep_of(tmp_path)))
    assert OVERRIDE in text and "drafter=[mtp] " in text and REASON in text


def test_a_plan_shows_lists_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "estimate_job", lambda config, pace: plan.JobEstimate(1, None, None, ""))
    sweep = sweep_of(tmp_path / "s[/x]")
    plan.print_plan([(job, None) for job in sweep.jobs], sweep)  # type: ignore[misc]
    text = capsys.readouterr().out
    assert OVERRIDE in text and "s[/x]" in text.replace("\n", "")


def row(arm: str) -> dict[str, Any]:
    return {"arm": arm, "category": "all", "num_draft_tokens": 4, "generations": 1, "batch_size": 1}


def test_an_arm_s_name_is_no_markup() -> None:
    summary = {"rows": [row("a[b]"), row("[/x]")], "pairs": []}
    assert "a[b]" in printed(arms_table(summary)) and "[/x]" in printed(arms_table(summary))
    figure = {**row("a[b]"), "label": "Paper [1]", "metric": "speedup", "value": 2.0, "k": None, "differs": []}
    text = printed(published_table(summary, [figure], ["speedup"]))
    assert "a[b] k=4" in text and "Paper [1]" in text and "[/x] k=4" in text


def test_the_progress_line_is_no_markup() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with RunProgress(2, console) as progress:
        progress.show("a[b], prompt [/x]")
    assert "a[b], prompt [/x]" in console.file.getvalue()  # type: ignore[attr-defined]
