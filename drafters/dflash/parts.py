"""Parts that published block drafters add to the plain network; tensor names are theirs.

Dynamic convolutions and the path selector come with DFlash 2 (https://inco.ai/blog/dflash2), the Markov and the
confidence head with DSpark (https://arxiv.org/abs/2607.05147), the reduced vocabulary with speculators' checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DynamicConv(nn.Module):
    """A causal depthwise convolution over the slots of a block, before and after a sublayer.

    Each of its two passes has a learned kernel of `taps` weights per channel, plus a correction per group of channels
    that both passes read off the sublayer's input. Slot 0 sees zeros before it, never the context.
    """

    def __init__(self, hidden_size: int, taps: int, group_size: int) -> None:
        super().__init__()
        self.taps, self.groups = taps, hidden_size // group_size
        self.base_kernel = nn.Parameter(torch.zeros(2, taps, hidden_size))
        self.kernel_projection = nn.Linear(hidden_size, 2 * taps * self.groups, bias=False)

    def _convolve(self, x: Tensor, base: Tensor, correction: Tensor) -> Tensor:
        """`x` [B, L, H] with `base` [taps, H] and `correction` [B, L, taps, groups]."""
        kernel = base.to(x.dtype).unflatten(-1, (self.groups, -1)) + correction.unsqueeze(-1)  # [B, L, taps, G, H/G]
        kernel = kernel.flatten(-2)
        out = x * kernel[:, :, 0]
        for back in range(1, self.taps):
            out = out + F.pad(x, (0, 0, back, 0))[:, : x.shape[1]] * kernel[:, :, back]
        return out

    def before(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sublayer's convolved input [B, L, H], and what `after` needs."""
        corrections = self.kernel_projection(x).unflatten(-1, (2, self.taps, self.groups))
        return self._convolve(x, self.base_kernel[0], corrections[:, :, 0]), corrections[:, :, 1]

    def after(self, x: Tensor, correction: Tensor) -> Tensor:
        """The sublayer's output [B, L, H], convolved."""
        return self._convolve(x, self.base_kernel[1], correction)


class CandidateSelector(nn.Module):
    """Scores of a step from one slot's token to the next: `<A(previous) * H(hidden), B(candidate)>`."""

    def __init__(self, vocab_size: int, hidden_size: int, rank: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.hidden_projection = nn.Linear(hidden_size, rank, bias=False)
        self.predecessor_codebook = nn.Parameter(torch.zeros(vocab_size, rank))
        self.successor_codebook = nn.Parameter(torch.zeros(vocab_size, rank))

    def transition(self, previous: Tensor, projected: Tensor, candidates: Tensor) -> Tensor:
        """Scores [B, K] of `candidates` [B, K] after `previous` [B], given the slot's projected hidden [B, rank]."""
        context = F.embedding(previous, self.predecessor_codebook) * projected
        return (F.embedding(candidates, self.successor_codebook) @ context.unsqueeze(-1)).squeeze(-1)


class MarkovHead(nn.Module):
    """A bias on a slot's logits from the token before it, of low rank ("vanilla" in the checkpoints' words)."""

    def __init__(self, vocab_size: int, head_size: int, rank: int) -> None:
        super().__init__()
        self.markov_w1 = nn.Embedding(vocab_size, rank)
        self.markov_w2 = nn.Linear(rank, head_size, bias=False)

    def forward(self, previous: Tensor) -> Tensor:
        """Bias [B, V] after `previous` [B]."""
        return self.markov_w2(self.markov_w1(previous))


class ConfidenceHead(nn.Module):
    """Log-odds that a draft will be accepted, from its hidden state and perhaps the token before it."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.proj = nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Log-odds [B, k] in fp32 from features [B, k, F]."""
        return self.proj(features).squeeze(-1).float()


def to_target_vocabulary(
    tokens: Tensor, probs: Tensor | None, offsets: Tensor, size: int
) -> tuple[Tensor, Tensor | None]:
    """Draft tokens [B, k] and their probabilities [B, k, Vd] in the target's vocabulary of `size` tokens.

    `offsets` [Vd] is the checkpoint's d2t table: draft token i is target token i + offsets[i].
    """
    ids = torch.arange(offsets.shape[0], device=offsets.device) + offsets
    if probs is not None:
        probs = probs.new_zeros(*probs.shape[:-1], size).index_copy_(-1, ids, probs)
    return ids[tokens], probs
