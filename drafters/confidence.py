"""A drafter's own confidence in each of its drafts, for a look at how far it can be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit
from drafters.base import Sampling


class ConfidenceWatch(DraftLimit):
    """Proposes every draft, and keeps what a confidence stop of `drafters.adaptive` would have judged it by.

    `best` [B, k] is the probability of each slot's likeliest token (`max_prob`); where the checkpoint has a confidence
    head (`reads_confidence`) it is the head's answer (`head`). It is that of the round that was proposed last.
    """

    def begin(self, batch_size: int, k: int, sampling: Sampling, device: torch.device, *, drawn: bool) -> None:
        self.drawn = drawn
        self.best = torch.zeros(batch_size, k, device=device)

    def saw(self, slot: int, scores: Tensor) -> None:
        self.best[:, slot] = self._likeliest(scores)

    def saw_block(self, scores: Tensor) -> None:
        self.best.copy_(self._likeliest(scores))

    def saw_confidence(self, log_odds: Tensor) -> None:
        self.best.copy_(log_odds.sigmoid())

    def _likeliest(self, scores: Tensor) -> Tensor:
        """The largest probability [...] of `scores` [..., V]: logits, or q where drafts are drawn."""
        best = scores.float().amax(dim=-1)
        return best if self.drawn else (best - scores.float().logsumexp(dim=-1)).exp()
