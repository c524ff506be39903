"""A short run's overrides and a recorded run, for commands in surroundings that fail."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.helpers.recorded_run import record

    return record(tmp_path_factory.mktemp("recorded") / "run", prompts=2, arms=("mtp",))


@pytest.fixture
def overrides(pair: dict[str, str], tmp_path: Path) -> list[str]:
    from tests.helpers.checkpoint_folders import write_prompts

    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    target = ["target=path", f"target.path={pair['target']}", "target.device=cpu", "share_device=true"]
    arms = ["drafter=mtp", f"drafters.mtp.path={pair['mtp']}", "num_draft_tokens=2", "max_new_tokens=4", "costs=false"]
    return [*target, *arms, "dataset=jsonl", f"dataset.path={prompts}"]
