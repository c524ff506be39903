"""The ordered head of the small assistants: tokens in clusters, of which only the best few are scored.

The order is fixed before training, from the target's own head: tokens with similar rows share a cluster. The centroids
then learn to find the clusters that hold the mass of the target's distribution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.training.distill import distill

CENTROID_WEIGHT = 0.3  # of the centroids' loss, beside the tokens' loss


def cluster(rows: Tensor, count: int) -> Tensor:
    """An order [V] of `rows` [V, H] that puts similar rows into `count` runs of equal length.

    Rows are halved along their main direction repeatedly. Raises ValueError if `count` does not divide them.
    """
    if len(rows) % count:
        raise ValueError(f"{len(rows)} rows do not divide into {count} clusters of one size")
    size = len(rows) // count

    def halve(index: Tensor, clusters: int) -> list[Tensor]:
        if clusters == 1:
            return [index]
        part = rows[index] - rows[index].mean(0)
        main = torch.linalg.svd(part, full_matrices=False).Vh[0]
        main = main * main[main.abs().argmax()].sign()  # the sign of a direction is arbitrary
        index = index[(part @ main).argsort(stable=True)]
        left = clusters // 2
        return halve(index[: left * size], left) + halve(index[left * size :], clusters - left)

    return torch.cat(halve(torch.arange(len(rows), device=rows.device), count))


def centroid_loss(masked_embedding: Any, normed: Tensor, teacher: Tensor, hard_share: float) -> Tensor:
    """Loss of the centroids' scores for states [N, h] against the cluster masses of the target's logits [N, V]."""
    order = masked_embedding.token_ordering
    mass = teacher[:, order].view(len(teacher), masked_embedding.num_centroids, -1).logsumexp(-1)  # [N, centroids]
    return distill(masked_embedding.centroids(normed), mass, hard_share)[0]
