"""Teacher forcing: one target pass over recorded answers, then drafts from their places, several answers at a time.

The target's pass gives all that a drafter is ever shown: states, tapped layers, keys and values. The drafter then walks
along the answers by its own four calls, one row for each, and the target's verdict is read off the answer. A walk that
moves on by accepted + 1 makes the rounds of greedy decoding, one that moves on by 1 drafts from every place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from drafters.base import Drafter, TargetPass
from drafters.confidence import ConfidenceWatch
from drafters.gemma4 import position_addressed_attention
from drafters.wirings.base import Wiring
from harness.decoding.decoder import GREEDY
from harness.decoding.forced import forced_pass, read_prompt
from harness.metrics.anchors.outcomes import Anchors
from harness.target.cache import PositionCache
from harness.target.target import Target

NONE = -1  # a place that an answer does not have


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt and its answer as token ids; `number` is the answer's, `prompt_number` its prompt's."""

    number: int
    prompt_number: int
    prompt: Sequence[int]
    answer: Sequence[int]

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.answer]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the target shows of a batch of texts: its pass over all, [B, S, ...], right-padded, and its cache.

    `layers` holds the outputs [B, S, H] of every layer that some drafter taps.
    """

    batch: tuple[Answered, ...]
    whole: TargetPass
    layers: dict[int, Tensor]
    cache: PositionCache

    def seen_by(self, taps: tuple[int, ...]) -> TargetPass:
        """The pass with these taps, in their order."""
        tapped = torch.cat([self.layers[tap] for tap in taps], dim=-1) if taps else None
        return TargetPass(self.whole.tokens, self.whole.positions, self.whole.hidden, tapped)


def batches(answers: Iterable[Answered], size: int) -> Iterator[tuple[Answered, ...]]:
    """Batches of texts of like length, which pad little; answers of one token have no round and are left out."""
    ordered = sorted((one for one in answers if len(one.answer) > 1), key=lambda one: len(one.tokens))
    for start in range(0, len(ordered), size):
        yield tuple(ordered[start : start + size])


@torch.inference_mode()
def show(target: Target, batch: tuple[Answered, ...], taps: Iterable[int], room: int) -> Shown:
    """One pass over the texts of `batch`, in chunks as in prefill, with `room` positions to spare.

    The cache's rings are as long as the texts, so that every anchor finds its own window there.
    """
    longest = max(len(one.tokens) for one in batch)
    capacity = longest + room
    wanted = tuple(sorted(set(taps)))
    padded = [one.tokens + [0] * (longest - len(one.tokens)) for one in batch]
    cache = target.new_cache(len(batch), capacity, capacity)
    seen = forced_pass(target, cache, padded, wanted)
    cache.reach = capacity
    layers: dict[int, Tensor] = {}
    if seen.taps is not None:
        layers = dict(zip(wanted, seen.taps.split(seen.hidden.shape[-1], dim=-1), strict=True))
    return Shown(batch, TargetPass(seen.tokens, seen.positions, seen.hidden, None), layers, cache)


def verified(seen: TargetPass, position: Tensor, width: int) -> TargetPass:
    """`width` positions from `position` [B] on, each row's own; beyond the text stands its last state, to be masked."""
    positions = position[:, None] + torch.arange(width, device=position.device)  # [B, W]
    at = positions.clamp(max=seen.tokens.shape[1] - 1)

    def rows(of: Tensor) -> Tensor:
        return of.gather(1, at[..., None].expand(-1, -1, of.shape[-1]))

    return TargetPass(
        seen.tokens.gather(1, at), positions, rows(seen.hidden), None if seen.taps is None else rows(seen.taps)
    )


#: From the drafts that stood [B] to the places that each row moves on.
Step = Callable[[Tensor], Tensor]


def next_round(stood: Tensor) -> Tensor:
    """To the next round's anchor, after the accepted drafts and the bonus token."""
    return stood + 1


def every(stride: int) -> Step:
    """Every `stride`-th place."""

    def step(stood: Tensor) -> Tensor:
        return torch.full_like(stood, stride)

    return step


def offsets_of(batch: tuple[Answered, ...], stride: int) -> list[int]:
    """Where each answer's first anchor stands if only every `stride`-th place is one: spread over the answers."""
    return [min(one.number * 7919 % stride, len(one.answer) - 2) for one in batch]


@torch.inference_mode()
def draft_along(
    target: Target, wiring: Wiring, shown: Shown, k: int, step: Step, widest: int, first: Sequence[int] | None = None
) -> Anchors:
    """The drafts of one wiring from the places of `shown` that `step`, of at most `widest` places, comes through.

    `first` is the first of them in each answer, its first token by default.
    """
    assert wiring.build is not None
    watch = ConfidenceWatch()
    drafter = wiring.build(watch)
    seen = wiring.see(shown.seen_by(wiring.taps))
    device, batch = target.device, shown.batch
    size, longest = len(batch), max(len(one.answer) for one in batch)
    watch.begin(size, k, GREEDY, device, drawn=False)  # zeros stay where the drafter is not watched
    begin_drafting(target, drafter, wiring, shown, seen, k)
    answer = torch.full((size, longest + k + widest), NONE, device=device)  # [B, L + k + widest]
    for row, one in enumerate(batch):
        answer[row, : len(one.answer)] = torch.tensor(one.answer, device=device)
    length = torch.tensor([len(one.answer) for one in batch], device=device)  # [B]
    prompt = torch.tensor([len(one.prompt) for one in batch], device=device)  # [B]
    place = torch.tensor(first or [0] * size, device=device)
    offsets = torch.arange(1, k + 1, device=device)
    kept: list[tuple[Tensor, ...]] = []
    with position_addressed_attention(target.config):
        if first and any(first):
            take_in(drafter, seen, prompt, place, k, max(first))
        while bool((going := place < length - 1).any()):
            anchor = answer.gather(1, place[:, None]).squeeze(1)
            proposal = drafter.propose(anchor, prompt + place)
            ahead = answer.gather(1, place[:, None] + offsets)  # [B, k]
            stood = (proposal.tokens == ahead).long().cumprod(dim=1).sum(dim=1)  # no draft is NONE
            if proposal.count is not None:  # [B]: a drafter that stopped early
                stood = torch.minimum(stood, proposal.count)
            known = (length - 1 - place).clamp(max=k)
            kept.append((going, place.clone(), known, stood, watch.best.clone()))
            moved = torch.minimum(step(stood), length - 1 - place).clamp(min=0)  # a row that is done stays
            take_in(drafter, seen, prompt + place, moved, k, widest)
            place = place + moved
    return outcomes(batch, kept, k)


def begin_drafting(target: Target, drafter: Drafter, wiring: Wiring, shown: Shown, seen: TargetPass, k: int) -> None:
    """Let the drafter read the prompts, each in its own row."""
    capacity = shown.cache.capacity
    noise = torch.zeros(len(shown.batch), capacity, dtype=torch.float64, device=target.device)
    view = wiring.view(target.view(shown.cache))
    drafter.begin(view, len(shown.batch), capacity, k, GREEDY, noise)
    drafter.reach = capacity
    for row, one in enumerate(shown.batch):
        read_prompt(drafter, seen, row, len(one.prompt))


def take_in(drafter: Drafter, seen: TargetPass, position: Tensor, moved: Tensor, k: int, widest: int) -> None:
    """Show the drafter the `moved` [B] tokens from `position` [B] on, at most k+1 at a time: its rings hold no more."""
    for begin in range(0, widest, k + 1):
        width = min(k + 1, widest - begin)
        count = (moved - begin).clamp(min=0, max=width)
        # A row with nothing left is shown its last verified token again, and takes it in where it stood.
        first = torch.where(count > 0, position + begin, position + moved - 1).clamp(min=0)
        drafter.observe(verified(seen, first, width), (count - 1).clamp(min=0))


def outcomes(batch: tuple[Answered, ...], kept: Sequence[tuple[Tensor, ...]], k: int) -> Anchors:
    """The table of what was drafted: one entry per step and row that was not done."""
    going, place, known, stood, best = (torch.stack(column).cpu().numpy() for column in zip(*kept, strict=True))
    rows = np.broadcast_to(np.arange(len(batch)), going.shape)[going]
    answer = np.array([one.number for one in batch])[rows]
    prompt = np.array([one.prompt_number for one in batch])[rows]
    cut = np.minimum(stood, known)
    return Anchors(k, prompt, answer, place[going], known[going], cut[going], best[going].astype(float))
