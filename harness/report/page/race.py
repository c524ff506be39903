"""The race: one prompt, every arm at the pace its rounds recorded. Page and terminal replay the same data.

A lane is an arm on a prompt. Its clock starts with the prompt: the first token is there after `prefill_s`, and a
round's tokens appear when the round ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isclose
from typing import Any

from harness.records.journal import ROUND_SECONDS
from harness.records.rounds import UNTIMED
from harness.report.names import clean, known
from harness.report.page.data import RunData, first_rounds
from harness.vocabulary import BASELINE, OK

#: Rounds that miss more of `decode_s` than this are stretched to it: a lane ends when its generation did.
TOLERANCE = 0.01
MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Lane:
    """One arm on one prompt: seconds to the first token, then seconds of each round.

    `measured` is False where the rounds' times are missing and the decode time was shared out among them.
    """

    prefill_s: float
    round_s: tuple[float, ...]
    measured: bool = True
    taint: str = ""

    @property
    def ends_s(self) -> tuple[float, ...]:
        """Seconds from the start to the end of the prefill, then to the end of each round."""
        return tuple(accumulate(self.round_s, initial=self.prefill_s))

    @property
    def total_s(self) -> float:
        return self.ends_s[-1]

    def rounds_at(self, seconds: float) -> int:
        """Rounds that have ended after `seconds`; -1 while the prompt is still being read."""
        return bisect_right(self.ends_s, seconds) - 1


def lane_of(generation: Mapping[str, Any], parts: Sequence[Sequence[float]]) -> Lane | None:
    """The lane of a generation with `parts` = (draft, verify, other) seconds of each round; None without a time.

    Its total is `prefill_s + decode_s` within TOLERANCE.
    """
    prefill_s, decode_s = generation["prefill_s"], generation["decode_s"]
    if not known(prefill_s) or not known(decode_s) or decode_s <= 0 or prefill_s < 0 or not parts:
        return None
    seconds = [sum(part for part in one if known(part)) for one in parts]
    measured = all(second > 0 for second in seconds)
    if not measured:
        seconds = [decode_s / len(parts)] * len(parts)
    elif not isclose(sum(seconds), decode_s, rel_tol=TOLERANCE / 2):
        stretch = decode_s / sum(seconds)
        seconds = [second * stretch for second in seconds]
    return Lane(float(prefill_s), tuple(seconds), measured, str(generation["taint"] or ""))


def lanes_of(run: RunData) -> dict[tuple[str, int], dict[str, Lane]]:
    """Per prompt and turn: the lanes of the first repeat by label, the baseline first.

    Generations that failed or have no decode times of their own are left out.
    """
    starting = [one for one in run.series if one.arm == BASELINE][:1] + list(run.contenders)
    labels = {(one.arm, one.num_draft_tokens): one.label for one in starting}
    parts = first_rounds(run.rounds, ROUND_SECONDS)
    found: dict[tuple[str, int], dict[str, Lane]] = {}
    for record in run.generations[run.generations["repeat"] == 0].to_dict("records"):
        label = labels.get((record["arm"], record["num_draft_tokens"]))
        if label is None or record["status"] != OK or record["taint"] in UNTIMED:
            continue
        key = str(record["prompt_id"]), int(record["turn"])
        lane = lane_of({str(name): value for name, value in record.items()}, parts.get((*key, str(record["arm"])), []))
        if lane is not None:
            found.setdefault(key, {})[label] = lane
    order = {label: place for place, label in enumerate(labels.values())}
    return {key: dict(sorted(own.items(), key=lambda item: order[item[0]])) for key, own in found.items()}


def spread(lanes: Mapping[str, Lane]) -> float:
    """The slowest lane's time divided by the fastest's."""
    totals = [lane.total_s for lane in lanes.values()]
    return max(totals) / min(totals)


def build_race(run: RunData, browser: Mapping[str, Any]) -> dict[str, Any]:
    """The race as JSON: `order` lists indices into the browser's prompts, `lanes` their times in microseconds.

    Prompts whose arms differ most come first; those with a doubtful time or a missing arm come last. A prompt needs
    two lanes whose rounds the browser could cut.
    """
    by_prompt = {(clean(prompt), turn): lanes for (prompt, turn), lanes in lanes_of(run).items()}
    races: dict[int, dict[str, Lane]] = {}
    for index, prompt in enumerate(browser["prompts"]):
        lanes = {
            label: lane
            for label, lane in by_prompt.get((prompt["id"], prompt["turn"]), {}).items()
            if len(prompt["arms"].get(label, {}).get("rounds", ())) == len(lane.round_s)
        }
        if len(lanes) > 1:
            races[index] = lanes
    most = max(map(len, races.values()), default=0)

    def rank(index: int) -> tuple[bool, int, float]:
        lanes = races[index]
        return any(lane.taint for lane in lanes.values()), most - len(lanes), -spread(lanes)

    return {
        "order": sorted(races, key=rank),
        "lanes": {str(index): {label: _json(lane) for label, lane in own.items()} for index, own in races.items()},
    }


def _json(lane: Lane) -> dict[str, Any]:
    made: dict[str, Any] = {"prefill": round(lane.prefill_s * MICRO), "us": [round(s * MICRO) for s in lane.round_s]}
    return made if lane.measured else {**made, "even": True}


def lane_from_json(made: Mapping[str, Any]) -> Lane:
    """The lane that a page's data describes."""
    return Lane(made["prefill"] / MICRO, tuple(us / MICRO for us in made["us"]), not made.get("even", False))
