"""Every option of docs/drafting.md can be set on the command line, without a plus, and works in a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import RunConfig
from harness.run import run
from harness.vocabulary import ROOT
from tests.helpers import composing
from tests.helpers.checkpoint_folders import write_prompts

pytestmark = pytest.mark.usefixtures("blank_charts")

TRAINED = ("mtp", "dflash")
#: What about half of the random drafters' distributions reach.
HALF = {"mtp": {"entropy": 4.545}, "dflash": {"entropy": 4.528}}


def composed(pair: dict[str, str], *overrides: str) -> RunConfig:
    paths = [f"drafters.{name}.path={pair[name]}" for name in TRAINED]
    return composing.composed(f"target.path={pair['target']}", *paths, *overrides)


def test_every_documented_key_is_in_the_config_and_the_other_way_round() -> None:
    table = re.findall(r"^\| (`[^|]+) \| ([a-z, ]+) \|", (ROOT / "docs/drafting.md").read_text(), re.MULTILINE)
    known: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/drafters/known.yaml"))
    for name, keys in known.items():
        documented = {
            key for found, drafters in table if name in drafters or drafters == "all"
            for key in re.findall(r"`(\w+)`", found)
        }  # fmt: skip
        assert documented == set(keys) - {"synthetic_acceptance"}, name


@pytest.mark.parametrize(
    "options",
    [
        ["stop=max_prob", "stop_threshold=0.0175"],
        ["stop=entropy", "stop_threshold={entropy}"],
        ["stop=p_min", "stop_threshold=0.11"],
        ["adapt=history", "adapt_start=2"],
        ["adapt=history", "stop=max_prob", "stop_threshold=0.0175", "sample=false"],
    ],
    ids=str,
)
def test_both_drafters_adapt_by_config_and_stay_lossless(
    pair: dict[str, str], options: list[str], tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    wanted = [f"drafters.{name}.{option.format(**HALF[name])}" for name in TRAINED for option in options]
    run_options = ["dataset=jsonl", f"dataset.path={prompts}", "max_new_tokens=16", "num_draft_tokens=6", "costs=false"]
    outcome = run(composed(pair, *run_options, *wanted), tmp_path / "run")
    assert outcome.exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "generations.jsonl").read_text().splitlines()]
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {"exact"}
    rounds = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    for name in TRAINED:
        assert len({drafted for one in rounds if one["arm"] == name for drafted in one["drafted"]}) > 1
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert all("stop" in arm["options"] or "adapt" in arm["options"] for arm in manifest["arms"][1:])


def test_null_is_no_option(pair: dict[str, str]) -> None:
    assert [arm.options for arm in composed(pair).arms] == [{}, {}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["stop=p_min", "stop_threshold=0.5"], r"drafters\.mtp\.stop is 'p_min' and decoding\.temperature is 0\.7"),
        (["stop=luck", "stop_threshold=0.5"], r"drafters\.mtp\.stop is 'luck', expected one of max_prob"),
        (["adapt_start=2"], r"drafters\.mtp\.adapt_start is 2, but adapt is not set"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_read(
    pair: dict[str, str], options: list[str], message: str
) -> None:
    config = composed(pair, "decoding.temperature=0.7", *(f"drafters.mtp.{option}" for option in options))
    with pytest.raises(InputError, match=message):
        preflight(config)
