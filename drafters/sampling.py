"""From logits to tokens, by one definition for target and drafters: p and q are processed alike."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.base import Sampling


def token_probs(logits: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities [..., V] in fp32 from `logits` [..., V]: temperature, then top-k, then top-p, as in transformers.

    The temperature must be above zero: greedy decoding has no distribution.
    """
    scores = logits.float() / sampling.temperature
    if sampling.top_k is not None:
        threshold = scores.topk(min(sampling.top_k, scores.shape[-1])).values[..., -1:]
        scores = scores.masked_fill(scores < threshold, -torch.inf)
    probs = scores.softmax(dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1.0:
        ordered, order = probs.sort(descending=True)
        # A token stays while the mass before it is short of top_p, so the first one always stays.
        kept = ordered * (ordered.cumsum(dim=-1) - ordered < sampling.top_p)
        probs = torch.zeros_like(probs).scatter_(-1, order, kept)
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs


def soft_cap(logits: Tensor, cap: float | None) -> Tensor:
    """`logits` [..., V] bounded to +-`cap` as Gemma does, in place: new memory for a vocabulary costs more than tanh.

    Each step rounds as it does in transformers, so that ties are the same ties.
    """
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


def draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Tokens [...] from unnormalised `weights` [..., V] by inversion of their cumulative sum at `uniform` [...].

    One uniform number per token makes a draw a function of its position alone: no generator state, no host
    synchronisation, and a row draws the same alone and in a batch. A token of weight zero is never drawn. Weights that
    hold NaN give a valid id without meaning, which `chosen_by_numbers` finds.
    """
    cumulative = weights.double().cumsum(dim=-1)
    aim = uniform.double().unsqueeze(-1) * cumulative[..., -1:]
    return torch.searchsorted(cumulative, aim, right=True).squeeze(-1).clamp_(max=weights.shape[-1] - 1)


def chosen_by_numbers(scores: Tensor, tokens: Tensor) -> Tensor:
    """True [...] for `tokens` [...] chosen by finite `scores` [..., V]: best tokens by logits, drawn ones by weights.

    The chosen token's score is enough: argmax takes NaN for the largest value, and softmax spreads NaN, and an infinite
    logit as NaN, over all tokens. So no other pass over the vocabulary is needed.
    """
    return scores.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).isfinite()
