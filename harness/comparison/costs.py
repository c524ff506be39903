"""Measures the cost table: a few rounds of every arm at every k it allows, after warm-up and before the first prompt.

The rounds are those of the arms' own decoders, at the context and the batch size of the run, and enter no record. Eager
rounds can have any k; compiled and captured ones have only those for which programs exist, the arm's own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from drafters.gemma4 import position_addressed_attention
from drafters.registry import kind_of
from harness.comparison.arms import Arms
from harness.decoding import pool
from harness.decoding.clock import Clock, now
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.records.costs import ArmCosts, CostTable, RoundCost
from harness.vocabulary import BASELINE

#: Seconds after which no further k is measured, and none again.
BUDGET_S = 8.0
SWEEPS, PASSES = 3, 4
#: One k of one arm; the baseline's k is 0.
Setting = tuple[str, int]


@dataclass(slots=True)
class Timed:
    """Milliseconds of each timed round, by part."""

    draft: list[float] = field(default_factory=list)
    verify: list[float] = field(default_factory=list)

    def cost(self, k: int) -> RoundCost:
        """Medians with their relative standard errors."""
        draft, verify = statistics.median(self.draft), statistics.median(self.verify)
        return RoundCost(k, draft, verify, error_of(self.draft), error_of(self.verify), len(self.verify))


def error_of(values: Sequence[float]) -> float:
    """The relative standard error of the median of `values`, from their median absolute deviation."""
    middle = statistics.median(values)
    spread = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return 1.2533 * spread / len(values) ** 0.5 / middle if middle > 0 else 0.0


def measure_costs(arms: Arms, tokens: Sequence[list[int]], blocks: frozenset[str]) -> CostTable:
    """The cost table of `arms` on the prompts `tokens`, which fill the batch. `blocks` are arms that draft in one pass.

    Settings are measured in sweeps, so that drift of the machine falls on all alike. Once BUDGET_S is used up, the k
    that are missing are left to interpolation; the baseline and every arm's own k are always there.
    """
    started = now(arms.target.device)
    timed: dict[Setting, Timed] = {}
    settings = list(settings_of(arms))
    needed = sum(k == arms.k[arm] for arm, k in settings)
    for sweep in range(SWEEPS):
        known = [setting for setting in settings if sweep == 0 or setting in timed]
        for place, setting in enumerate(known if sweep % 2 == 0 else reversed(known)):
            if now(arms.target.device) - started > BUDGET_S and (sweep or place >= needed):
                break
            measure(arms, setting, tokens, timed.setdefault(setting, Timed()), PASSES)
    if arms.target.execution == "eager":  # other k took the drafters from the run's decoders
        for arm, k in settings[1:needed]:
            measure(arms, (arm, k), tokens, Timed(), PASSES)
    seconds = now(arms.target.device) - started
    found = {
        arm: ArmCosts(arm in blocks, tuple(timed[one].cost(one[1]) for one in sorted(timed) if one[0] == arm))
        for arm in dict.fromkeys(arm for arm, _ in settings if arm != BASELINE)
    }
    decode_ms = timed[BASELINE, 0].cost(0).verify_ms
    context = max(map(len, tokens))
    return CostTable(context, len(tokens), arms.target.execution, decode_ms, round(seconds, 2), found)


def settings_of(arms: Arms) -> Iterator[Setting]:
    """The baseline and every arm's own k, then 1 and the k between, halving the widest gap first, arms in turn.

    Arms whose drafts are made up have no curve.
    """
    yield BASELINE, 0
    drafting = [arm for arm in arms.names if arm != BASELINE and kind_of(arms.kind[arm]).competes]
    yield from ((arm, arms.k[arm]) for arm in drafting)
    if arms.target.execution != "eager":
        return
    queues = [[(arm, k) for k in halving(arms.k[arm])] for arm in drafting]
    for place in range(max(map(len, queues), default=0)):
        yield from (queue[place] for queue in queues if place < len(queue))


def halving(k: int) -> list[int]:
    """1, then every number below `k`, each in the middle of the widest gap that is left."""
    known, order = [0, k], list[int]()
    while len(known) <= k:
        gap = max(range(1, len(known)), key=lambda place: known[place] - known[place - 1])
        middle = 1 if not order else (known[gap] + known[gap - 1]) // 2
        order.append(middle)
        known = sorted([*known, middle])
    return order


@torch.inference_mode()
def measure(arms: Arms, setting: Setting, tokens: Sequence[list[int]], timed: Timed, passes: int) -> None:
    """Time `passes` rounds from the end of the prompts, each from the same tokens, after one that is not counted."""
    decoder = decoder_of(arms, *setting, len(tokens))
    with position_addressed_attention(arms.target.config):
        for row, prompt in enumerate(tokens):
            _, seen = decoder.prefill(row, prompt, arms.seed)
            if decoder.drafter is not None:
                for one in seen:
                    decoder.drafter.start(one, row)
        anchor, position = decoder.anchor.clone(), decoder.position.clone()
        programs = decoder.set_reach(decoder.reach_of(max(map(len, tokens)) + decoder.k + 1))
        clock = Clock(arms.target.device)
        for index in range(passes + 1):
            decoder.anchor.copy_(anchor)
            decoder.position.copy_(position)
            clock.mark()
            proposal = programs.propose()
            clock.mark()
            seen_pass, accepted, report = programs.verify(proposal)
            clock.mark()
            programs.observe(seen_pass, accepted)
            clock.mark()
            report.tolist()
            propose, verify, observe = (1e3 * lap for lap in clock.laps(clock.take()))
            if index:
                timed.draft.append(propose + observe)
                timed.verify.append(verify)


def decoder_of(arms: Arms, arm: str, k: int, batch_size: int) -> Decoder:
    """The arm's own decoder where it is fit; another one for another k."""
    drafter = arms.models.drafters.get(arm)
    own = DecodeSettings(
        k=k,
        max_new_tokens=arms.max_new_tokens,
        sampling=arms.sampling,
        verification=arms.verification,
        synthetic_acceptance=arms.rates.get(arm, ()),
    )
    return pool.get(arms.target, drafter, own, batch_size, arms.capacity)


def median_prompts(prompts: Sequence[list[int]], count: int) -> list[list[int]]:
    """`count` of the prompts around the median length."""
    ordered = sorted(prompts, key=len)
    begin = max(0, min(len(ordered) // 2 - count // 2, len(ordered) - count))
    chosen = ordered[begin : begin + count]
    return [chosen[index % len(chosen)] for index in range(count)]
