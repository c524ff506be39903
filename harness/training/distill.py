"""A drafter's loss per token: against the target's distribution and its greedy choice."""

from __future__ import annotations

from torch import Tensor

from harness.training.fused import Kernels


def distill(draft: Tensor, teacher: Tensor, hard_share: float, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Loss of draft logits [N, V] against the target's logits [N, V], and the share of equal greedy choices.

    The loss is `hard_share` of the cross-entropy with the target's greedy token (what greedy verification asks for) and
    the rest of that with its distribution (what sampling asks for). `weight` [N] weighs the rows.
    """
    if not draft.shape[0]:
        return draft.sum() * 0.0, draft.new_zeros(())
    each = Kernels.distill(draft, teacher, hard_share)  # [N]
    loss = each.mean() if weight is None else (each * weight).sum() / weight.sum()
    return loss, (draft.argmax(-1) == teacher.argmax(-1)).float().mean().detach()
