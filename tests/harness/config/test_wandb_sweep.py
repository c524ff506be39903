"""The commands of a W&B agent: wandb's own code makes them from the sweep file, and each is a run of ours."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.vocabulary import CONF
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.composing import composed
from tests.helpers.processes import start
from tests.helpers.wandb_file import read_back


def plain_file() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONF / "wandb_sweep.yaml").read_text(encoding="utf-8"))
    return found


def sweep_file() -> dict[str, Any]:
    from wandb.sdk.launch.sweeps import utils  # seconds, which a process that only collects tests does not pay

    found = utils.load_sweep_config(str(CONF / "wandb_sweep.yaml"))
    assert found == plain_file()
    return dict(found)


def trials() -> list[dict[str, Any]]:
    """The arguments of every trial of the grid, as an agent receives them."""
    sweep = plain_file()
    names = list(sweep["parameters"])
    grid = itertools.product(*(sweep["parameters"][name]["values"] for name in names))
    return [{name: {"value": value} for name, value in zip(names, values, strict=True)} for values in grid]


@pytest.mark.parametrize("trial", trials(), ids=str)
def test_every_trial_is_a_command_that_validates(trial: dict[str, Any]) -> None:
    from wandb.sdk.launch.sweeps import utils

    sweep = sweep_file()
    interpreter, flag, module, *rest = utils.create_sweep_command(sweep["command"])
    assert (interpreter, flag, module) == ("${interpreter}", "-m", "harness")
    given = utils.create_sweep_command_args({"args": trial})["args_no_hyphens"]
    overrides = [word for part in rest for word in (given if part == "${args_no_hyphens}" else [part])]
    config = composed(*overrides)
    assert config.tracking.name == "wandb"
    assert [arm.kind for arm in config.arms] == ["mtp", "dflash"]
    assert config.num_draft_tokens == trial["num_draft_tokens"]["value"]


def test_a_trial_is_the_run_that_its_agent_waits_for(pair: dict[str, str], tmp_path: Path) -> None:
    # In a process of its own, as an agent starts it: wandb reads these variables once per process.
    agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "trial7"}
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    command = ["harness", "tracking=wandb", "tracking.mode=offline", "drafter=mtp"]
    command += ["target=path", f"target.path={pair['target']}", f"drafters.mtp.path={pair['mtp']}"]
    command += ["dataset=jsonl", f"dataset.path={prompts}", "max_new_tokens=4", "num_draft_tokens=1"]
    assert start(tmp_path, *command, environment=agent).wait().returncode == 0
    [written] = read_back(tmp_path)
    assert (written.run.run_id, written.run.sweep_id) == ("trial7", "sweep1")
    assert written.summary[sweep_file()["metric"]["name"]] > 0, "what the sweep asks for is what a trial logs"
