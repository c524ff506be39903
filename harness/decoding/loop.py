"""The loop: one for the baseline and for every drafter.

    prefill -> [ propose k -> verify k+1 in one target pass -> accept -> commit -> observe ]*

The baseline is the same loop with zero draft tokens, so a difference in the numbers is a difference between drafting
strategies. This is the host's side: it starts rows, reads one small tensor per round, and writes down what happened.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from drafters.base import Drafter
from drafters.gemma4 import position_addressed_attention
from harness.decoding.clock import Clock, now
from harness.decoding.decoder import NO_TOKEN, Decoder, Settings, no_scores, noise_table
from harness.decoding.programs import REACH_STEP
from harness.errors import ScoresError
from harness.records.rounds import Generation, Round
from harness.target.target import Target

__all__ = ["Decoder", "Settings", "capacity_for", "decode", "decoder_for", "noise_table", "run"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When an answer ends."""

    max_new_tokens: int
    eos_token_ids: frozenset[int]

    def stop(self, generation: Generation) -> bool:
        """Whether the last token ends the answer; notes why."""
        if generation.token_ids[-1] in self.eos_token_ids:
            generation.finish_reason = "eos"
            return True
        return len(generation.token_ids) >= self.max_new_tokens


@dataclass(slots=True)
class Row:
    """The host's side of one row of the batch."""

    index: int  # which prompt
    generation: Generation
    prompt_length: int
    started: float
    pending_draft_s: float  # the drafter's own prefill, charged to the first round's draft time

    @property
    def anchor_position(self) -> int:
        return self.prompt_length + len(self.generation.token_ids) - 1


def start_row(decoder: Decoder, slot: int, index: int, prompt: Sequence[int], seed: int) -> Row:
    """Prefill one prompt into row `slot`. The time to the first token is the target's; the drafter reads later."""
    device = decoder.target.device
    started = now(device)
    first, passes = decoder.prefill(slot, prompt, seed)
    answered = now(device)
    if decoder.drafter is not None:
        for seen in passes:
            decoder.drafter.start(seen, slot)
    generation = Generation([first], "length", prefill_s=answered - started)
    return Row(index, generation, len(prompt), answered, now(device) - answered)


def absorb(row: Row, k: int, report: list[int], limits: Limits) -> bool:
    """Commit a row's verified tokens up to EOS or the length limit; True when the row is finished.

    `report` is the row's part of what `Decoder.verify` returned. The round's times follow (`add_times`). Raises
    ScoresError for a token or a draft whose scores are NaN or infinite.
    """
    accepted, proposed, *tokens = report
    drafted = tuple(tokens[k + 1 : k + 1 + proposed])
    generation, position = row.generation, row.anchor_position
    emitted, finished = 0, False
    for token in tokens[: accepted + 1]:
        if token == NO_TOKEN:
            raise ScoresError(no_scores("the target", row.anchor_position + 1))
        generation.token_ids.append(token)
        emitted += 1
        if finished := limits.stop(generation):
            break
    # All k, as a drafter without scores may look like one that is not sure enough to propose.
    if NO_TOKEN in tokens[k + 1 :]:
        raise ScoresError(no_scores("the drafter", position + 1 + tokens[k + 1 :].index(NO_TOKEN)))
    generation.rounds.append(
        Round(len(generation.rounds), position, proposed, accepted, emitted, None, None, None, drafted)
    )
    return finished


def add_times(row: Row, laps: list[float]) -> None:
    """Write down how long the row's last round took; `laps` are propose, verify, observe and other seconds."""
    propose_s, verify_s, observe_s, other_s = laps
    draft_s = propose_s + observe_s + row.pending_draft_s
    row.pending_draft_s = 0.0
    rounds = row.generation.rounds
    rounds[-1] = dataclasses.replace(rounds[-1], draft_s=draft_s, verify_s=verify_s, other_s=other_s)


@torch.inference_mode()
def run(decoder: Decoder, prompts: Sequence[Sequence[int]], seed: int, settings: Settings) -> list[Generation]:
    """Decode all `prompts`, as many at a time as the decoder has rows; prompt i draws with `seed + i`.

    A row that finishes is replaced by the next waiting prompt.
    """
    limits = Limits(settings.max_new_tokens, frozenset(settings.eos_token_ids))
    with position_addressed_attention(decoder.target.config):
        decoder.prepare(map(len, prompts), settings.max_new_tokens)
        for device in gpus(decoder.target):
            torch.cuda.reset_peak_memory_stats(device)
        return _run(decoder, prompts, seed, limits)


def gpus(target: Target) -> list[torch.device]:
    """The GPUs that `target` is on."""
    return [device for device in target.placement.devices if device.type == "cuda"]


def _run(decoder: Decoder, prompts: Sequence[Sequence[int]], seed: int, limits: Limits) -> list[Generation]:
    device = decoder.target.device
    waiting = deque(enumerate(prompts))
    rows: list[Row | None] = [None] * decoder.batch_size
    done: dict[int, Generation] = {}
    clock, began = Clock(device), now(device)

    untimed: tuple[list[Row], list[Any]] = [], []  # the last round's rows and marks

    def write_times() -> None:
        nonlocal untimed
        timed, marks = untimed
        untimed = [], []
        laps = clock.laps(marks)
        for row in timed:
            add_times(row, laps)

    def finish(row: Row) -> None:
        row.generation.decode_s = now(device) - row.started
        if used := gpus(decoder.target):
            row.generation.peak_memory_bytes = sum(map(torch.cuda.max_memory_allocated, used))
        done[row.index] = row.generation

    while True:
        for slot in range(len(rows)):
            while rows[slot] is None and waiting:
                index, prompt = waiting.popleft()
                row = start_row(decoder, slot, index, prompt, seed + index)
                if limits.stop(row.generation):
                    finish(row)
                else:
                    rows[slot] = row
        live = [row for row in rows if row is not None]
        if not live:
            share = (now(device) - began) / len(prompts)
            for generation in done.values():
                generation.wall_share_s = share
            return [done[index] for index in range(len(prompts))]

        furthest = max(row.anchor_position for row in live) + decoder.k + 1
        programs = decoder.set_reach(decoder.reach_of(furthest))
        clock.mark()
        proposal = programs.propose()
        clock.mark()
        seen, accepted, report = programs.verify(proposal)
        clock.mark()
        programs.observe(seen, accepted)
        clock.mark()
        write_times()  # of the round before, while the device is busy with this one
        read = report.tolist()  # the one synchronisation of a round
        clock.mark()
        untimed = live, clock.take()
        finished = [
            slot
            for slot, current in enumerate(rows)
            if current is not None and absorb(current, decoder.k, read[slot], limits)
        ]
        if finished:
            write_times()
        for slot in finished:
            done_with, rows[slot] = rows[slot], None
            assert done_with is not None
            finish(done_with)


def capacity_for(prompts: Sequence[Sequence[int]], max_new_tokens: int, k: int, execution: str = "eager") -> int:
    """Positions a run needs, rounded up so that similar prompts share one storage size."""
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens + k + 2
    step = REACH_STEP[execution]
    return -(-longest // step) * step


def decoder_for(
    target: Target, drafter: Drafter | None, settings: Settings, batch_size: int, capacity: int
) -> Decoder:
    """A decoder with room for `capacity` positions: the one that last served this drafter, when it still fits.

    Allocation, compilation and capture are thus paid once per arm and not once per prompt.
    """
    way = (*settings.in_programs, batch_size, target.execution)
    known = target.decoders.get(drafter)
    if (
        known is not None
        and known[0] == way
        and known[1].capacity >= capacity
        and (drafter is None or drafter.serving is known[1])
    ):
        return known[1]
    target.decoders.pop(drafter, None)
    decoder = Decoder(target, drafter, settings, batch_size, capacity, target.execution)
    target.decoders[drafter] = (way, decoder)
    return decoder


def decode(
    target: Target,
    drafter: Drafter | None,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    capacity: int = 0,
) -> list[Generation]:
    """Decode token-id prompts as batches of `batch_size` rows (all at once by default).

    `capacity` asks for more room than these prompts need, so that later and longer ones find the same decoder.
    """
    size = min(batch_size or len(prompts), len(prompts))
    room = max(capacity, capacity_for(prompts, settings.max_new_tokens, settings.k, target.execution))
    decoder = decoder_for(target, drafter, settings, size, room)
    try:
        return run(decoder, prompts, seed, settings)
    except ScoresError:
        target.decoders.pop(drafter, None)  # NaN in stored keys and values would reach the next prompt, masked or not
        raise
