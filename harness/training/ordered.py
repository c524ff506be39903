"""The ordered head of the small assistants: tokens in clusters, of which only the best few are scored.

The order is fixed before training, from the target's own head: tokens that it predicts alike share a cluster. The
centroids then learn to find the clusters in which the target's distribution has its mass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.training.distill import distill

CENTROID_WEIGHT = 0.3  # of the centroids' loss beside the tokens'


def cluster(rows: Tensor, count: int) -> Tensor:
    """An order [V] of `rows` [V, H] whose `count` runs of equal length hold rows that are alike.

    Rows are halved along their main direction again and again. Raises ValueError where `count` does not divide them.
    """
    if len(rows) % count:
        raise ValueError(f"{len(rows)} rows do not divide into {count} clusters of one size")
    size = len(rows) // count

    def halve(index: Tensor, clusters: int) -> list[Tensor]:
        if clusters == 1:
            return [index]
        part = rows[index] - rows[index].mean(0)
        main = torch.linalg.svd(part, full_matrices=False).Vh[0]
        main = main * main[main.abs().argmax()].sign()  # a direction has no sign of its own
        index = index[(part @ main).argsort(stable=True)]
        left = clusters // 2
        return halve(index[: left * size], left) + halve(index[left * size :], clusters - left)

    return torch.cat(halve(torch.arange(len(rows), device=rows.device), count))


def centroid_loss(masked_embedding: Any, normed: Tensor, teacher: Tensor, hard_share: float) -> Tensor:
    """How far the centroids' choice for states [N, h] is from the clusters of the target's logits [N, V]."""
    order = masked_embedding.token_ordering
    mass = teacher[:, order].view(len(teacher), masked_embedding.num_centroids, -1).logsumexp(-1)  # [N, centroids]
    return distill(masked_embedding.centroids(normed), mass, hard_share)[0]
