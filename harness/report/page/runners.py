"""The runners of one prompt's race, for terminal and picture: the page's lanes with the text that they write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from drafters.errors import InputError
from harness.report.page import chart_data
from harness.report.page.browser import build_browser
from harness.report.page.data import RunData
from harness.report.page.race import Lane, build_race, lane_from_json
from harness.vocabulary import BASELINE

COLOURS = ("blue", "yellow", "magenta", "cyan", "green", "red")
NOBODY = "no prompt has two arms with recorded times: there is nothing to race"


@dataclass(frozen=True, slots=True)
class Runner:
    """One arm's lane and its output: `rounds` as the prompt browser cuts them."""

    label: str
    is_baseline: bool
    colour: str  # of the terminal
    hue: str  # of the palette
    verdict: str
    lane: Lane
    first: str
    rounds: list[list[Any]]  # text of accepted drafts, the target's own text, drafted, accepted, emitted

    @property
    def tokens(self) -> int:
        return 1 + sum(one[4] for one in self.rounds)


@dataclass(frozen=True, slots=True)
class Race:
    """One prompt and its runners, the baseline first."""

    prompt_id: str
    prompt: str
    runners: tuple[Runner, ...]

    @property
    def end_s(self) -> float:
        return max(runner.lane.total_s for runner in self.runners)


def find_race(run: RunData, prompt_id: str | None = None) -> Race:
    """The race on `prompt_id`, by default on the prompt where the arms differ most.

    Raises InputError for a prompt that the run does not have, and where no two arms have times.
    """
    if prompt_id is not None:
        names = sorted({str(name) for name in run.generations["prompt_id"]})
        if prompt_id not in names:
            close = get_close_matches(prompt_id, names, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"--prompt {prompt_id}: no such prompt, {hint}expected one of the run's {len(names)}")
        run = replace(run, generations=run.generations[run.generations["prompt_id"] == prompt_id])
    browser = build_browser(run, chart_data.prompts(run)).data
    race = build_race(run, browser)
    if not race["order"]:
        raise InputError(f"{run.run_dir}: {NOBODY if prompt_id is None else f'--prompt {prompt_id}: {NOBODY}'}")
    index = race["order"][0]
    entry = browser["prompts"][index]
    arms: Mapping[str, Any] = {arm["label"]: arm for arm in browser["arms"]}
    runners = []
    for place, (label, made) in enumerate(race["lanes"][str(index)].items()):
        output, arm = entry["arms"][label], arms[label]
        is_baseline = arm["arm"] == BASELINE
        colour = "white" if is_baseline else COLOURS[(place - 1) % len(COLOURS)]
        runners.append(
            Runner(
                label,
                is_baseline,
                colour,
                arm["colour"],
                output["verdict"],
                lane_from_json(made),
                output["first"],
                output["rounds"],
            )
        )
    return Race(entry["id"], entry["prompt"], tuple(runners))
