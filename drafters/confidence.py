"""A drafter's own confidence in each of its drafts, for a look at how far it can be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit
from drafters.base import Sampling


class ConfidenceWatch(DraftLimit):
    """Proposes every draft, and keeps what the confidence stops of `drafters.adaptive` would have judged by.

    `best` [B, k] is the probability of each slot's likeliest token (`max_prob`), `head` [B, k] what the checkpoint's
    confidence head gives, None without one. Both are those of the round that was proposed last.
    """

    def __init__(self, has_head: bool = False) -> None:
        self.reads_confidence = has_head

    def begin(self, batch_size: int, k: int, sampling: Sampling, device: torch.device, *, drawn: bool) -> None:
        self.drawn = drawn
        self.best = torch.zeros(batch_size, k, device=device)
        self.head: Tensor | None = torch.zeros(batch_size, k, device=device) if self.reads_confidence else None

    def saw(self, slot: int, scores: Tensor) -> None:
        self.best[:, slot] = self._likeliest(scores)

    def saw_block(self, scores: Tensor) -> None:
        self.best.copy_(self._likeliest(scores))

    def saw_confidence(self, log_odds: Tensor) -> None:
        self.head = log_odds.sigmoid()

    def _likeliest(self, scores: Tensor) -> Tensor:
        """The largest probability [...] of `scores` [..., V]: logits, or q where drafts are drawn."""
        best = scores.float().amax(dim=-1)
        return best if self.drawn else (best - scores.float().logsumexp(dim=-1)).exp()
