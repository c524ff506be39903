"""Drafts token after token from what followed the last two tokens before, and backs off to the last one.

Prompt lookup copies one passage from one place. A chain of pairs looks again after every token, so that a draft may go
on in another passage than the one it began in. It learns from the prompt and from the answer so far.

Every tensor has a fixed shape and no call reads a number on the host, so rounds can be compiled and captured.
"""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.base import Proposal, Sampling, TargetPass, TargetView
from drafters.errors import InputError
from drafters.registry import Kind

#: Places in the table of pairs; the text itself tells two pairs that meet in one apart, and the later one stays.
PLACES = 8192


class PairsDrafter:
    """`backoff` false drafts after known pairs alone: fewer drafts, of which more are accepted."""

    record = Kind(
        "pairs",
        title="Pairs",
        about="chains pairs of tokens that stood in the text before",
        may_be_silent=True,
        low_because="the answers repeat little of what stands before them",
        if_silent="that the answers repeat any of their prompts",
    )
    name = "pairs"
    taps: tuple[int, ...] = ()
    max_draft_tokens: int | None = None
    reach: int = 0
    serving: object = None

    def __init__(self, backoff: bool = True) -> None:
        if not isinstance(backoff, bool):
            raise InputError(f"drafters.pairs.backoff={backoff}: expected true or false")
        self.backoff = backoff

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        def table(width: int, value: int) -> Tensor:
            return torch.full((batch_size, width), value, dtype=torch.long, device=target.device)

        self.k = k
        self.text = table(capacity, 0)  # the token at each position
        # The last position at which a token, or a pair's second token, stood with a known token after it; -1: nowhere.
        self.singles = table(int(target.config.vocab_size), -1)
        self.pairs = table(PLACES, -1)

    def start(self, prefill: TargetPass, row: int) -> None:
        if int(prefill.positions[0, 0]) == 0:  # a new prompt takes the row over
            self.singles[row], self.pairs[row] = -1, -1
        self.text[row, prefill.positions[0]] = prefill.tokens[0]
        rows = slice(row, row + 1)
        known = torch.ones_like(prefill.tokens, dtype=torch.bool)
        self._learn(self.text[rows], self.singles[rows], self.pairs[rows], prefill.positions, known)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.text.scatter_(1, position[:, None], anchor[:, None])
        self._learn(self.text, self.singles, self.pairs, position[:, None], torch.ones_like(anchor[:, None]) > 0)
        first, second = self._at(self.text, position - 1), anchor  # [B] each
        alive = torch.ones_like(anchor, dtype=torch.bool)
        drafts, counts = [], []
        for _ in range(self.k):
            pair = self.pairs.gather(1, _place(first, second)[:, None])[:, 0]
            found = (pair >= 1) & (self._at(self.text, pair - 1) == first) & (self._at(self.text, pair) == second)
            if self.backoff:
                single = self.singles.gather(1, second[:, None])[:, 0]
                pair = torch.where(found, pair, single)
                found = found | (single >= 0)
            first, second = second, self._at(self.text, pair + 1)
            alive = alive & found
            drafts.append(second)
            counts.append(alive)
        return Proposal(torch.stack(drafts, dim=1), count=torch.stack(counts, dim=1).sum(dim=1))

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        # Rejected tokens are written too; no table leads to them, and their positions are written again.
        self.text.scatter_(1, verified.positions, verified.tokens)
        stand = torch.arange(verified.tokens.shape[1], device=accepted.device) <= accepted[:, None]  # [B, k+1]
        self._learn(self.text, self.singles, self.pairs, verified.positions, stand)

    @staticmethod
    def _at(text: Tensor, position: Tensor) -> Tensor:
        """The tokens [B] at `position` [B], which is held within the text."""
        return text.gather(1, position.clamp(0, text.shape[1] - 1)[:, None])[:, 0]

    @staticmethod
    def _learn(text: Tensor, singles: Tensor, pairs: Tensor, positions: Tensor, known: Tensor) -> None:
        """Take in the tokens at `positions` [B, W] where `known` [B, W]: what stands before them has a next token.

        The latest position stays, whatever the order of the writes.
        """
        before = positions - 1
        second = text.gather(1, before.clamp_min(0))
        first = text.gather(1, (before - 1).clamp_min(0))
        singles.scatter_reduce_(1, second, torch.where(known & (before >= 0), before, -1), "amax")
        pairs.scatter_reduce_(1, _place(first, second), torch.where(known & (before >= 1), before, -1), "amax")


def _place(first: Tensor, second: Tensor) -> Tensor:
    """The place of each pair in its table."""
    return (first * 1_000_003 + second) % PLACES
