"""Stops a run once it is decided: orders its prompts in stratified blocks and looks after each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from drafters.registry import kind_of
from harness.comparison.plan import PlannedArm
from harness.comparison.schedule import Group, groups_of
from harness.config import RunConfig
from harness.metrics.certainty.looks import Schedule, block_size, look_at, look_points
from harness.records.files import LOOKS, replace_file
from harness.records.frames import generations_frame
from harness.tasks.prompts import Prompt, in_strata
from harness.vocabulary import HARNESS


@dataclass(frozen=True, slots=True)
class Stopping:
    """The rule of a run, and its groups by the look that follows them."""

    schedule: Schedule
    blocks: tuple[tuple[Group, ...], ...]

    def ahead(self, rows: Mapping[Any, Mapping[str, Any]]) -> Iterator[Group]:
        """The groups to decode, block after block, as long as no look at the journal's `rows` decides."""
        for number, block in enumerate(self.blocks):
            yield from block
            if self.decides(number, rows):
                return

    def decides(self, number: int, rows: Mapping[Any, Mapping[str, Any]]) -> bool:
        return look_at(generations_frame(rows.values()), self.schedule, number).decided

    def needed(self, rows: Mapping[Any, Mapping[str, Any]], complete: set[str]) -> list[Group]:
        """The groups up to the look that decides, from what is journalled; `complete` are prompts without work left."""
        found: list[Group] = []
        for number, block in enumerate(self.blocks):
            found += block
            done = {prompt.prompt_id for group in found for prompt in group.prompts} <= complete
            if done and self.decides(number, rows):
                return found
        return found

    def write(self, run_dir: Path) -> None:
        """Keep the schedule beside the records, for every summary of them."""
        replace_file(run_dir / LOOKS, json.dumps(self.schedule.as_dict(), indent=1) + "\n")


def check_until(config: RunConfig) -> None:
    """Raise InputError where a run of this kind cannot look at itself."""
    if not config.until.asked:
        return
    key = "until.margin" if config.until.half_width is None else "until.half_width"
    value = getattr(config.until, key.partition(".")[2])
    others = int(os.environ.get("WORLD_SIZE") or 1)
    reasons = {
        f"engine={config.engine.name}: an engine decodes an arm over all prompts before the next": (
            config.engine.name != HARNESS
        ),
        f"{others} processes: each would look at its own share alone": others > 1,
        "drafter=[]: there is nothing to compare": not config.arms,
    }
    for reason, applies in reasons.items():
        if applies:
            raise InputError(f"{key}={value} with {reason}; expected null here")


def stopping(config: RunConfig, prompts: Sequence[Prompt], arms: Sequence[PlannedArm]) -> Stopping | None:
    """The rule of a run that may stop early, over at most until.max_prompts of `prompts`; None for any other run.

    Raises InputError for fewer prompts than the first look needs.
    """
    if not config.until.asked:
        return None
    until = config.until
    ordered = in_strata(prompts)[: until.max_prompts]
    if len(ordered) < until.min_prompts:
        raise InputError(
            f"until.min_prompts={until.min_prompts}: expected {len(ordered)} or less, the prompts of this run"
        )
    size = block_size(len(ordered), len({prompt.category for prompt in ordered}), config.batch_size)
    points = look_points(len(ordered), size, until.min_prompts)
    blocks = tuple(
        tuple(Group(start + group.first, group.prompts) for group in groups_of(ordered[start:end], config.batch_size))
        for start, end in pairwise((0, *points))
    )
    competing = [arm.name for arm in arms if kind_of(arm.arm.kind).competes]
    controls = tuple(arm.name for arm in arms if competing and arm.name not in competing)
    in_order = tuple(prompt.prompt_id for prompt in ordered)
    return Stopping(Schedule(in_order, points, until.half_width, until.margin, controls), blocks)

