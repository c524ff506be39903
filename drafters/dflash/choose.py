"""From a denoised block to drafted tokens: independently per slot, or along a path through the slots.

Each token is returned with the distribution q from which it was drawn, so that verification stays lossless for every
layout: the q of the path selector and of the Markov head is conditional on the tokens chosen before. A third tensor
tells tokens that finite scores chose from the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit
from drafters.base import Proposal, Sampling
from drafters.dflash.model import BlockModel
from drafters.dflash.parts import CandidateSelector, MarkovHead, to_target_vocabulary
from drafters.sampling import chosen_by_numbers, draw, token_probs


def choose(
    model: BlockModel,
    hidden: Tensor,
    logits: Tensor,
    anchor: Tensor,
    uniform: Tensor,
    sampling: Sampling | None,
    limit: DraftLimit,
) -> Proposal:
    """k tokens from `hidden` [B, k, H] and `logits` [B, k, Vd] of the drafting slots after `anchor` [B].

    `sampling` None takes the best token everywhere; otherwise tokens are drawn at `uniform` [B, k]. `limit` sees
    every slot's distribution.
    """
    if model.candidate_selector is not None:
        selector = model.candidate_selector
        tokens, probs, finite = select_path(selector, hidden, logits, anchor, uniform, sampling, limit)
    elif model.markov_head is not None:
        tokens, probs, finite = markov_chain(model.markov_head, logits, anchor, model.d2t, uniform, sampling, limit)
    else:
        probs = None if sampling is None else token_probs(logits, sampling)
        tokens = logits.argmax(dim=-1) if probs is None else draw(probs, uniform)
        finite = chosen_by_numbers(logits if probs is None else probs, tokens)
        limit.saw_block(logits if probs is None else probs)
    if model.d2t is not None:
        tokens, probs = to_target_vocabulary(tokens, probs, model.d2t, model.config.vocab_size)
    if model.confidence_head is not None and limit.reads_confidence:
        limit.saw_confidence(model.confidence_head(confidence_features(model, hidden, anchor, tokens)))
    return Proposal(tokens, probs, finite=finite)


def confidence_features(model: BlockModel, hidden: Tensor, anchor: Tensor, tokens: Tensor) -> Tensor:
    """The confidence head's input [B, k, F] for the drafts `tokens` [B, k]: never the draft itself."""
    if not model.config.confidence_with_markov:
        return hidden
    assert model.markov_head is not None
    before = torch.cat((anchor[:, None], tokens[:, :-1]), dim=1)
    return torch.cat((hidden, model.markov_head.markov_w1(before)), dim=-1)


def select_path(
    selector: CandidateSelector,
    hidden: Tensor,
    logits: Tensor,
    anchor: Tensor,
    uniform: Tensor,
    sampling: Sampling | None,
    limit: DraftLimit,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Walk from the anchor through the best `top_k` tokens of each slot (DFlash 2's path selection).

    A step's score is the slot's own logit plus the transition's; q is the softmax of the scores at the temperature
    alone, as published, without the target's top-k or top-p.
    """
    best = logits.topk(selector.top_k, dim=-1)  # [B, k, K]
    projected = selector.hidden_projection(hidden)  # [B, k, rank]
    previous, tokens, probs, finite = anchor, [], [], []
    for slot in range(logits.shape[1]):
        candidates = best.indices[:, slot]  # [B, K]
        scores = best.values[:, slot] + selector.transition(previous, projected[:, slot], candidates)
        q = None if sampling is None else token_probs(scores, Sampling(sampling.temperature))  # [B, K]
        limit.saw(slot, scores if q is None else q)
        if q is None:
            index = scores.argmax(dim=-1)
        else:
            index = draw(q, uniform[:, slot])
            probs.append(torch.zeros_like(logits[:, slot], dtype=q.dtype).scatter_(-1, candidates, q))
        finite.append(chosen_by_numbers(scores if q is None else q, index))
        previous = candidates.gather(-1, index[:, None]).squeeze(-1)
        tokens.append(previous)
    return torch.stack(tokens, dim=1), torch.stack(probs, dim=1) if probs else None, torch.stack(finite, dim=1)


def markov_chain(
    head: MarkovHead,
    logits: Tensor,
    anchor: Tensor,
    offsets: Tensor | None,
    uniform: Tensor,
    sampling: Sampling | None,
    limit: DraftLimit,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Draft slot by slot, each slot's logits corrected by the token before it (DSpark's vanilla Markov head).

    The head looks up target tokens and corrects the draft vocabulary; `offsets` is d2t where the two differ.
    """
    previous, tokens, probs, finite = anchor, [], [], []
    for slot in range(logits.shape[1]):
        corrected = logits[:, slot] + head(previous)
        q = None if sampling is None else token_probs(corrected, sampling)
        limit.saw(slot, corrected if q is None else q)
        if q is None:
            token = corrected.argmax(dim=-1)
        else:
            token = draw(q, uniform[:, slot])
            probs.append(q)
        finite.append(chosen_by_numbers(corrected if q is None else q, token))
        tokens.append(token)
        previous = token if offsets is None else token + offsets[token]
    return torch.stack(tokens, dim=1), torch.stack(probs, dim=1) if probs else None, torch.stack(finite, dim=1)
