"""The loop: one for the baseline and for every drafter.

    prefill -> [ propose k -> verify k+1 in one target pass -> accept -> commit -> observe ]*

The baseline is the same loop with zero draft tokens, so a difference in the numbers is a difference between drafting
strategies. The device works in `harness.decoding.decoder`, the host's bookkeeping is in `harness.decoding.batch`, and
times are in `harness.decoding.clock`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from drafters.base import Drafter
from drafters.gemma4 import position_addressed_attention
from harness.decoding import pool
from harness.decoding.batch import Batch
from harness.decoding.clock import Stopwatch
from harness.decoding.decoder import Decoder, DecodeSettings, ScoresError
from harness.decoding.programs import REACH_STEP
from harness.records.rounds import Generation
from harness.target.target import Target


@torch.inference_mode()
def loop(decoder: Decoder, prompts: Sequence[Sequence[int]], seed: int, settings: DecodeSettings) -> list[Generation]:
    """Decode all `prompts`, as many at a time as the decoder has rows; prompt i draws with `seed + i`.

    A row that finishes is replaced by the next waiting prompt. Raises ScoresError for scores that are NaN or infinite.
    """
    with position_addressed_attention(decoder.target.config):
        decoder.prepare(map(len, prompts), settings.max_new_tokens)
        batch, watch = Batch(decoder, prompts, seed, settings), Stopwatch(decoder.target.device)
        while batch.seat_waiting():
            programs = decoder.set_reach(decoder.reach_of(batch.furthest))
            watch.mark()
            proposal = programs.propose()  # k drafts per row
            watch.mark()
            seen, accepted, report = programs.verify(proposal)  # one target pass, and the accept rule
            watch.mark()
            programs.observe(seen, accepted)  # the drafter learns what stands
            watch.mark()
            watch.book()  # the round before, while the device is busy with this one
            read = report.tolist()  # the one synchronisation of a round
            watch.end_round(batch.live)
            batch.commit(read)
        watch.book()
        return batch.generations()


def capacity_for(prompts: Sequence[Sequence[int]], max_new_tokens: int, k: int, execution: str = "eager") -> int:
    """Positions a run needs, rounded up so that similar prompts share one storage size."""
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens + k + 2
    step = REACH_STEP[execution]
    return -(-longest // step) * step


def decode(
    target: Target,
    drafter: Drafter | None,
    prompts: Sequence[Sequence[int]],
    settings: DecodeSettings,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    capacity: int = 0,
) -> list[Generation]:
    """Decode token-id prompts as batches of `batch_size` rows (all at once by default).

    `capacity` reserves more positions than these prompts need, so that later and longer ones find the same decoder.
    Raises ScoresError for scores that are NaN or infinite.
    """
    size = min(batch_size or len(prompts), len(prompts))
    needed = capacity_for(prompts, settings.max_new_tokens, settings.k, target.execution)
    decoder = pool.get(target, drafter, settings, size, max(capacity, needed))
    try:
        return loop(decoder, prompts, seed, settings)
    except ScoresError:
        pool.drop(target, drafter)  # NaN in stored keys and values would reach the next prompt, masked or not
        raise
