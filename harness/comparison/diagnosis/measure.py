"""Teacher-forced acceptance of a drafter as read, and of the same drafter under wirings that people get wrong."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from drafters.errors import InputError
from drafters.wirings.base import Wiring
from drafters.wirings.known import wirings_of
from harness.comparison.diagnosis.forcing import Answered, batches, draft_along, every, next_round, offsets_of, show
from harness.metrics.anchors.outcomes import Anchors, Mean, difference, mean
from harness.target.target import Target

#: Anchors of each wiring by default.
ANCHORS = 2000
ROWS = 16  # answers side by side


@dataclass(frozen=True, slots=True)
class Other:
    """Another wiring on the same anchors as the one that was read; `gain` is the difference in accepted drafts.

    A wiring that is worse beyond its interval is tried on no further answers, so its anchors may be fewer.
    """

    wiring: Wiring
    anchors: Anchors
    gain: Mean
    same_drafts: bool

    @property
    def is_better(self) -> bool:
        """Beyond an interval that holds for all wirings at once."""
        return self.gain.low is not None and self.gain.low > 0

    @property
    def is_worse(self) -> bool:
        """Likewise."""
        return self.gain.high is not None and self.gain.high < 0


@dataclass(slots=True)
class Clock:
    """Seconds of the parts: the target's passes, the rounds' walk, and the drafts from the sampled places."""

    target_s: float = 0.0
    walk_s: float = 0.0
    sample_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found about one drafter.

    `walked` are the anchors of greedy rounds, `sampled` every `stride`-th place of the answers, both as read.
    """

    drafter: str
    k: int
    stride: int
    walked: Anchors
    sampled: Anchors
    clock: Clock
    others: tuple[Other, ...] = ()
    absent: tuple[Wiring, ...] = ()
    prompts: int = 0
    answers: int = 0
    confidence_of: str = "max_prob"  # or head: what the drafter's confidence is, as `stop` names it

    @property
    def better(self) -> list[Other]:
        """The wirings that are better than the one as read, the best first."""
        return sorted((one for one in self.others if one.is_better), key=lambda one: -one.gain.value)


def stride_for(answers: Sequence[Answered], anchors: int | None) -> int:
    """The distance of sampled places that leaves about `anchors` of them; None takes every place."""
    places = sum(max(0, len(one.answer) - 1) for one in answers)
    return 1 if anchors is None else max(1, round(places / anchors))


def diagnose(
    target: Target,
    drafter: Any,
    answers: Sequence[Answered],
    k: int,
    *,
    name: str,
    anchors: int | None = ANCHORS,
    rows: int = ROWS,
    wirings: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Diagnosis:
    """Draft from the places of recorded greedy `answers`, as read and under every other wiring.

    `anchors` is about how many places of all answers are sampled. Raises InputError for a drafter without wirings and
    for answers that hold no round.
    """
    usable = [one for one in answers if len(one.answer) > 1]
    if not usable:
        raise InputError(f"drafter {name}: no recorded answer has two tokens, expected some to draft from")
    known = wirings_of(drafter, target.config.to_dict())
    as_read, others = known[0], [one for one in known[1:] if one.applies and wirings]
    taps = {tap for one in (as_read, *others) for tap in one.taps}
    stride, clock, alive = stride_for(usable, anchors), Clock(), list(others)
    walked, ours, theirs = list[Anchors](), list[Anchors](), {one.name: list[Anchors]() for one in others}
    done = 0
    for batch in in_any_order(list(batches(usable, rows))):
        say(f"{name}: {done} of {len(usable)} answers, {len(alive)} of {len(others)} other wirings are left")
        started = now(target)
        shown = show(target, batch, taps, 2 * (k + 2) + stride)
        after_target = now(target)
        walked.append(draft_along(target, as_read, shown, k, next_round, k + 1))
        after_walk = now(target)
        first, step = offsets_of(batch, stride), every(stride)
        ours.append(draft_along(target, as_read, shown, k, step, stride, first))
        after_sample = now(target)
        clock.target_s += after_target - started
        clock.walk_s += after_walk - after_target
        clock.sample_s += after_sample - after_walk
        for one in alive:
            theirs[one.name].append(draft_along(target, one, shown, k, step, stride, first))
        alive = [one for one in alive if not compared(one, theirs[one.name], ours, len(others)).is_worse]
        done += len(batch)
    return Diagnosis(
        name, k, stride, Anchors.joined(walked), Anchors.joined(ours), clock,
        tuple(compared(one, theirs[one.name], ours, len(others)) for one in others),
        tuple(one for one in known if not one.applies),
        len({one.prompt_number for one in usable}), len(usable),
        "head" if getattr(getattr(drafter, "model", None), "confidence_head", None) is not None else "max_prob",
    )  # fmt: skip


def in_any_order(of: list[tuple[Answered, ...]]) -> list[tuple[Answered, ...]]:
    """The batches, each of like lengths, in an order that has nothing to do with length."""
    random.Random(0).shuffle(of)
    return of


def compared(wiring: Wiring, theirs: Sequence[Anchors], ours: Sequence[Anchors], comparisons: int) -> Other:
    """A wiring against the one as read, on the batches that it was tried on: the first ones."""
    there, here = Anchors.joined(theirs), Anchors.joined(ours[: len(theirs)])
    same = bool((there.stood == here.stood).all())
    return Other(wiring, there, difference(there, here, comparisons), same)


def accepted(anchors: Anchors) -> Mean:
    """Accepted drafts from an anchor, cut at the answer's end."""
    return mean(anchors.stood.astype(float), anchors.prompt)


def now(target: Target) -> float:
    """Seconds, once the device has finished what it was given."""
    if target.device.type == "cuda":
        torch.cuda.synchronize(target.device)
    return time.perf_counter()
