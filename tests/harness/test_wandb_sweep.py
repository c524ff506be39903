"""What a W&B agent would start: wandb's own code turns the sweep file into commands, and each is a run of ours."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from wandb.sdk.launch.sweeps import utils

from harness import tracking
from tests.harness.test_every_yaml import CONF, composed
from tests.harness.test_tracking import OFFLINE, manifest_of, recorded, run_dir
from tests.harness.wandb_file import read_back

__all__ = ["recorded", "run_dir"]


def trials() -> list[dict[str, Any]]:
    """The arguments of every trial of the grid, as an agent receives them."""
    sweep = utils.load_sweep_config(str(CONF / "wandb_sweep.yaml"))
    assert sweep is not None
    names = list(sweep["parameters"])
    grid = itertools.product(*(sweep["parameters"][name]["values"] for name in names))
    return [{name: {"value": value} for name, value in zip(names, values, strict=True)} for values in grid]


@pytest.mark.parametrize("trial", trials(), ids=str)
def test_every_trial_is_a_command_that_validates(trial: dict[str, Any]) -> None:
    sweep = utils.load_sweep_config(str(CONF / "wandb_sweep.yaml"))
    assert sweep is not None
    interpreter, flag, module, *rest = utils.create_sweep_command(sweep["command"])
    assert (interpreter, flag, module) == ("${interpreter}", "-m", "harness")
    given = utils.create_sweep_command_args({"args": trial})["args_no_hyphens"]
    overrides = [word for part in rest for word in (given if part == "${args_no_hyphens}" else [part])]
    config = composed(*overrides)
    assert config.tracking.name == "wandb"
    assert [arm.kind for arm in config.arms] == ["mtp", "dflash"]
    assert config.num_draft_tokens == trial["num_draft_tokens"]["value"]


def test_a_trial_is_the_run_that_its_agent_waits_for(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "trial7")
    with tracking.start_tracking(OFFLINE, run_dir, manifest_of(run_dir), None) as tracker:
        tracker.finish(0)
    [written] = read_back(run_dir)
    assert (written.run.run_id, written.run.sweep_id) == ("trial7", "sweep1")
    assert any(name.endswith("/speedup") for name in written.summary)
