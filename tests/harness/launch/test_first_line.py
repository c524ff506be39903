"""The first line of a run says what was asked for, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import read_config
from harness.launch.first_line import first_line


def test_the_line_names_target_arms_prompts_machine_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    config = read_config(
        {
            "target": {"name": "embedded", "path": "somewhere", "device": "cpu"},
            "dataset": {"name": "gsm8k", "path": "rows.jsonl", "limit": 32},
            "drafter": ["mtp", "dflash"],
        }
    )
    assert first_line(config, tmp_path / "outputs" / "run") == (
        "embedded · mtp k=4, dflash k=block · gsm8k, 32 prompts · greedy · cpu, 2 threads -> outputs/run"
    )


def test_what_is_set_replaces_the_defaults(tmp_path: Path) -> None:
    config = read_config(
        {
            "target": {"path": "my/checkpoint", "device": "cuda:1"},
            "dataset": {"name": "jsonl", "path": "rows.jsonl"},
            "drafter": "dflash",
            "num_draft_tokens": 7,
            "batch_size": 4,
            "decoding": {"temperature": 0.7},
        }
    )
    line = first_line(config, tmp_path)
    assert line == f"my/checkpoint · dflash k=7 · jsonl, all prompts · sampling · cuda:1 · batches of 4 -> {tmp_path}"
