"""A drafter under check: how a fresh one is made, and a wrapper that keeps what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from drafters.base import Drafter, Proposal, Replays
from drafters.gemma4 import position_addressed_attention
from drafters.registry import Kind
from harness.decoding.api import generate
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.records.rounds import Generation
from harness.target.target import Target

#: The largest k for a drafter without a limit.
BLOCK = 8


@dataclass
class Subject:
    """`make` gives a fresh drafter for `target`; `prompts` are token ids of different lengths, three or more.

    Each check decodes `tokens` tokens a prompt.
    """

    target: Target
    kind: Kind
    make: Callable[[], Drafter]
    prompts: list[list[int]]
    tokens: int = 24

    @cached_property
    def block(self) -> int:
        """The largest k to check."""
        return self.make().max_draft_tokens or BLOCK

    @property
    def widths(self) -> list[int]:
        """1, 2, 4 and the block, as far as the drafter allows them."""
        return sorted({k for k in (1, 2, 4) if k < self.block} | {self.block})

    @property
    def k(self) -> int:
        """The k of checks that need only one: 4, or the block of a shorter one."""
        return min(4, self.block)

    @cached_property
    def answers(self) -> list[list[int]]:
        """The target's own greedy answers, as long as a draft may reach."""
        length = self.tokens + self.block + 1
        return [self._decode(None, prompt, max_new_tokens=length).token_ids for prompt in self.prompts]

    def decode(self, drafter: Any, prompt: list[int], **options: Any) -> Generation:
        """One prompt with `drafter`, k and length as in this class unless `options` say otherwise."""
        return self._decode(drafter, prompt, **{"num_draft_tokens": self.k, **options})

    def decode_together(self, drafter: Any, prompts: list[list[int]], **options: Any) -> list[Generation]:
        """All `prompts` as one batch, one row each."""
        options = {"num_draft_tokens": self.k, "max_new_tokens": self.tokens, **options}
        return generate(self.target, drafter, prompts, **options)

    def _decode(self, drafter: Any, prompt: list[int], **options: Any) -> Generation:
        return generate(self.target, drafter, prompt, **{"max_new_tokens": self.tokens, **options})


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of `propose`."""

    anchor: Tensor  # [B]
    position: Tensor  # [B]
    proposal: Proposal

    def drafts(self, row: int) -> list[int]:
        """The submitted drafts of a row."""
        tokens = self.proposal.tokens[row].tolist()
        return tokens if self.proposal.count is None else tokens[: int(self.proposal.count[row])]


#: The tokens to verify instead of `Seen.drafts(0)`, all k of them.
Steer = Callable[[Seen], Sequence[int]]


class Watched:
    """`inner`, whose proposals are kept in `seen`. `look` gets each one first; `steer` replaces the drafts of row 0.

    The wrapped drafter lives through the same calls as without it.
    """

    OWN = ("inner", "seen", "look", "steer")

    def __init__(self, inner: Drafter, look: Callable[[Seen], None] | None = None, steer: Steer | None = None) -> None:
        self.inner, self.look, self.steer = inner, look, steer
        self.seen: list[Seen] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What the decoder says to a drafter goes to the wrapped one."""
        if name in Watched.OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.inner, name, value)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        proposal = self.inner.propose(anchor, position)
        kept = Seen(anchor.clone(), position.clone(), proposal)
        if self.look is not None:
            self.look(kept)
        copied = Proposal(*(None if part is None else part.clone() for part in parts_of(proposal)))  # type: ignore[arg-type]
        self.seen.append(Seen(kept.anchor, kept.position, copied))
        if self.steer is None:
            return proposal
        tokens = proposal.tokens.new_tensor([list(self.steer(self.seen[-1]))])  # [1, k]
        return Proposal(tokens)


def parts_of(proposal: Proposal) -> tuple[Tensor | None, ...]:
    """Tokens, probabilities, counts and marks of finite scores."""
    return proposal.tokens, proposal.probs, proposal.count, proposal.finite


def opened(subject: Subject, drafter: Drafter, k: int, prompt: list[int]) -> Decoder:
    """A decoder of one row, long enough for any of the prompts, that has read `prompt`."""
    capacity = max(map(len, subject.prompts)) + subject.tokens + 2 * k + 4
    drafter.serving = None
    decoder = Decoder(subject.target, drafter, DecodeSettings(k, subject.tokens), 1, capacity)
    decoder.read_up_to(capacity)
    read(subject, decoder, prompt)
    return decoder


def read(subject: Subject, decoder: Decoder, prompt: list[int]) -> None:
    """Begin `prompt` in the decoder's row, drafter included."""
    drafter = decoder.drafter
    assert drafter is not None
    if isinstance(drafter, Replays):
        drafter.replay([subject.answers[subject.prompts.index(prompt)]])
    with torch.inference_mode(), position_addressed_attention(subject.target.config):
        _, passes = decoder.prefill(0, prompt, 0)
        for seen in passes:
            drafter.start(seen, 0)
