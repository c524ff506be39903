"""The fastest k of each arm, found before the run by decoding a few of its prompts at every candidate.

The best k depends on drafter, prompts, hardware and batch size, so no table of defaults knows it. Only the choice is
kept; the run times it anew. The prompts are the run's own, so the choice suits them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.comparison.arms import Arms
from harness.comparison.models import Models, free_memory
from harness.comparison.plan import Plan, PlannedArm
from harness.config import RunConfig
from harness.records.files import CALIBRATION, replace_file
from harness.records.progress import warn
from harness.records.stored import arms_of_key, read_object


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Rendered prompts that are decoded together."""

    tokens: list[list[int]]
    seed: int


@dataclass(slots=True)
class Found:
    """Decoded tokens per second of each candidate, None where it failed, and the choice."""

    tokens_per_s: dict[int, float | None] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The fastest candidate, the smallest where all failed."""
        return max(self.tokens_per_s, key=lambda k: (self.tokens_per_s[k] or 0.0, -k))

    @property
    def text(self) -> str:
        """Every candidate with its tokens per second, in one line."""
        return ", ".join(
            f"k={k} {'failed' if rate is None else f'{rate:.1f}'}" for k, rate in self.tokens_per_s.items()
        )


def calibrate(config: RunConfig, plan: Plan, models: Models, batches: Sequence[SampleBatch], run_dir: Path) -> Plan:
    """`plan` with the best k of every arm that has candidates; a continued run keeps what its first start chose."""
    if not any(planned.candidates for planned in plan.arms):
        return plan
    chosen = read_choice(run_dir, plan)
    if chosen is None:
        found = {planned.name: measure(config, planned, models, batches) for planned in plan.arms if planned.candidates}
        chosen = {name: one.best for name, one in found.items()}
        write_choice(run_dir, found)
        for name, one in found.items():
            print(f"calibration: {name} drafts {one.best} tokens (tok/s: {one.text})", file=sys.stderr, flush=True)
    return replace(plan, arms=tuple(replace(one, k=chosen.get(one.name, one.k)) for one in plan.arms))


def measure(config: RunConfig, planned: PlannedArm, models: Models, batches: Sequence[SampleBatch]) -> Found:
    """Decode `batches` at every candidate of one arm, each after an uncounted start of its own."""
    found = Found()
    short = replace(config, max_new_tokens=min(config.max_new_tokens, config.calibration.max_new_tokens))
    lengths = [len(tokens) for batch in batches for tokens in batch.tokens]
    alone = replace(models, drafters={planned.name: models.drafters[planned.name]}, weight_bytes={})
    for k in planned.candidates:
        arms = Arms(short, (replace(planned, k=k),), alone, max(lengths))
        try:
            arms.warm_up_arm(planned.name, batches[0].tokens, lengths)
            decoded = [each for batch in batches for each in arms.decode(planned.name, batch.tokens, batch.seed, [])]
        except Exception as error:  # too large for the device, say; the other candidates may not be
            warn(f"calibration of {planned.name} at k={k} failed: {type(error).__name__}: {error}")
            found.tokens_per_s[k] = None
        else:
            seconds = sum(each.decode_s for each in decoded)
            found.tokens_per_s[k] = sum(len(each.token_ids) - 1 for each in decoded) / seconds if seconds else None
        arms.drop(planned.name)
        free_memory()
    return found


def write_choice(run_dir: Path, found: dict[str, Found]) -> None:
    """Keep measurements and choice beside the records."""
    run_dir.mkdir(parents=True, exist_ok=True)
    content = {name: {"best": one.best, "tokens_per_s": one.tokens_per_s} for name, one in found.items()}
    replace_file(run_dir / CALIBRATION, json.dumps(content, indent=1) + "\n")


def read_choice(run_dir: Path, plan: Plan) -> dict[str, int] | None:
    """The choice of an earlier start in `run_dir`, None if there is none for these arms and candidates.

    The run key holds the choice from the first record on, as another one could not continue the run.
    """
    wanted = {planned.name: list(planned.candidates) for planned in plan.arms if planned.candidates}
    arms = {str(arm["name"]): arm for arm in arms_of_key(run_dir) if arm.get("chosen_among")}
    if arms:
        chosen = {name: int(arm["num_draft_tokens"]) for name, arm in arms.items()}
        return chosen if {name: list(arm["chosen_among"]) for name, arm in arms.items()} == wanted else None
    kept = read_object(run_dir / CALIBRATION, "the arms are calibrated again") or {}
    try:
        tried = {name: [int(k) for k in one["tokens_per_s"]] for name, one in kept.items()}
        chosen = {name: int(one["best"]) for name, one in kept.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return chosen if tried == wanted else None
