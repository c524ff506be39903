"""Accept rules: pure functions on small tensors.

Every rule takes k drafted tokens and the target's scores at the k+1 positions it verified (row i scores the token after
i drafts), and returns how many drafts stand and the token that follows them. Random numbers come in as one uniform per
position, so that a position's token does not depend on how the answer was cut into rounds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from drafters.sampling import draw


class Accepted(NamedTuple):
    """`drafts` [B] drafts stand; `tokens` [B, k+1] are those, then the target's own token at index `drafts`."""

    drafts: Tensor
    tokens: Tensor


def _prefix_length(stands: Tensor, proposed: Tensor | None) -> Tensor:
    """Length [B] of the leading run of true in `stands` [B, k], cut to `proposed` [B]."""
    length = stands.long().cumprod(dim=1).sum(dim=1)
    return length if proposed is None else torch.minimum(length, proposed)


def match(draft: Tensor, target_tokens: Tensor, proposed: Tensor | None = None) -> Accepted:
    """Accept drafts [B, k] while they equal the target's tokens [B, k+1] (argmax, or its own samples).

    Every emitted token is the target's own, so this is lossless for any drafter and any way of choosing what to draft.
    """
    count = _prefix_length(draft == target_tokens[:, :-1], proposed)
    return Accepted(count, target_tokens)


def greedy(draft: Tensor, logits: Tensor, proposed: Tensor | None = None) -> Accepted:
    """Prefix match against the argmax of `logits` [B, k+1, V]."""
    return match(draft, logits.argmax(dim=-1), proposed)


def sample_and_match(draft: Tensor, p: Tensor, uniform: Tensor, proposed: Tensor | None = None) -> Accepted:
    """Draw the target's token at every position from `p` [B, k+1, V] with `uniform` [B, k+1]; accept equal drafts."""
    return match(draft, draw(p, uniform), proposed)


def synthetic(
    draft: Tensor, target_tokens: Tensor, rates: Tensor, uniform: Tensor, proposed: Tensor | None = None
) -> Accepted:
    """Accept drafts at `rates` [k] without looking at them: for planning, never a measurement of a drafter.

    `rates` are unconditional and non-increasing: position j stands in that share of rounds. One `uniform` [B] per
    round decides how far the run of accepted drafts goes, and never past what was `proposed` [B].
    """
    count = (uniform[:, None] < rates).sum(dim=1)  # [B]
    count = count if proposed is None else torch.minimum(count, proposed)
    kept = torch.arange(draft.shape[1], device=draft.device) < count[:, None]
    return Accepted(count, torch.cat((torch.where(kept, draft, target_tokens[:, :-1]), target_tokens[:, -1:]), dim=1))


def rejection(
    draft: Tensor,
    q: Tensor | None,
    p: Tensor,
    accept_uniform: Tensor,
    token_uniform: Tensor,
    proposed: Tensor | None = None,
) -> Accepted:
    """Speculative sampling (https://arxiv.org/abs/2211.17192, algorithm 1), keeping the distribution `p` [B, k+1, V].

    1. Accept draft x while u < p(x) / q(x). `q` [B, k, V] must be what the drafts were drawn from; None declares them
       deterministic, so q(x) = 1.
    2. At the first rejection draw from the residual max(p - q, 0). Where nothing was drafted the residual is p itself,
       which gives the bonus token after a fully accepted draft from its own row.

    `accept_uniform` [B, k] and `token_uniform` [B, k+1] are uniform in [0, 1).
    """
    batch, k = draft.shape
    p_draft = p[:, :-1].gather(-1, draft[..., None]).squeeze(-1)  # [B, k]
    q_draft = torch.ones_like(p_draft) if q is None else q.gather(-1, draft[..., None]).squeeze(-1)
    count = _prefix_length(accept_uniform * q_draft < p_draft, proposed)

    rows = torch.arange(batch, device=p.device)
    weights = p[rows, count]  # [B, V]
    if k:
        index = count.clamp(max=k - 1)
        if q is None:
            q_row = torch.zeros_like(weights).scatter_(1, draft[rows, index][:, None], 1.0)
        else:
            q_row = q[rows, index]
        residual = (weights - q_row).clamp_min(0.0)
        rejected = count < (k if proposed is None else proposed)
        # p and q equal up to rounding leave no residual mass; the rejection itself was then rounding, and p is right.
        enough = residual.sum(dim=1, keepdim=True) > 1e-8
        weights = torch.where(rejected[:, None] & enough, residual, weights)
    token = draw(weights, token_uniform[rows, count])

    tokens = torch.cat((draft, draft.new_zeros(batch, 1)), dim=1)
    return Accepted(count, tokens.scatter(1, count[:, None], token[:, None]))
