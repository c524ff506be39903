"""The configuration of a short run on the tiny pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def configure(pair: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    from harness.config import read_config
    from tests.helpers.checkpoint_folders import write_prompts

    def make(count: int = 3, turns: int = 1, **options: Any) -> Any:
        prompts = write_prompts(tmp_path / "prompts.jsonl", count, turns)
        drafters: dict[str, Any] = {name: {"path": pair[name]} for name in ("mtp", "dflash")}
        drafters |= {"lookup": {}, "oracle": {}, "random": {}}
        composed = {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": prompts},
            "drafters": drafters,
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 3,
            "max_new_tokens": 8,
            "costs": False,
        }
        return read_config({**composed, **options})

    return make
