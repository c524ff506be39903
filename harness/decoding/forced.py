"""Teacher forcing: the target passes over texts that are known, and a drafter is shown what it would have seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from drafters.base import Drafter, TargetPass
from harness.decoding.decoder import PREFILL_CHUNK
from harness.target.cache import PositionCache
from harness.target.target import Target


@torch.inference_mode()
def forced_pass(
    target: Target, cache: PositionCache, texts: Sequence[Sequence[int]], taps: tuple[int, ...]
) -> TargetPass:
    """The target's pass over `texts` [B, S], all of one length, in chunks as in prefill; their rows are in `cache`."""
    tokens = torch.tensor([list(text) for text in texts], device=target.device)
    longest = tokens.shape[1]
    positions = torch.arange(longest, device=target.device).expand(len(texts), -1)
    chunks = []
    for begin in range(0, longest, PREFILL_CHUNK):
        end = min(begin + PREFILL_CHUNK, longest)
        cache.reach = end
        chunks.append(target.run(cache, tokens[:, begin:end], positions[:, begin:end], taps))
    tapped: list[Tensor] = [chunk.taps for chunk in chunks if chunk.taps is not None]
    hidden = torch.cat([chunk.hidden for chunk in chunks], dim=1)
    return TargetPass(tokens, positions, hidden, torch.cat(tapped, dim=1) if tapped else None)


def part(seen: TargetPass, row: int, begin: int, end: int) -> TargetPass:
    """Positions `begin` to `end` of one row of a pass, [1, W]."""
    at = slice(row, row + 1), slice(begin, end)
    taps = None if seen.taps is None else seen.taps[at]
    return TargetPass(seen.tokens[at], seen.positions[at], seen.hidden[at], taps)


def read_prompt(drafter: Drafter, seen: TargetPass, row: int, length: int) -> None:
    """Let the drafter read the first `length` positions of one row, in chunks as in prefill."""
    for begin in range(0, length, PREFILL_CHUNK):
        drafter.start(part(seen, row, begin, min(begin + PREFILL_CHUNK, length)), row)
