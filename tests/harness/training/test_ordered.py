"""The ordered head's clusters are of one size and alike inside, and its centroids learn to find them."""

from __future__ import annotations

import pytest
import torch

from harness.training.mtp import MTPShape, build_assistant
from harness.training.ordered import centroid_loss, cluster
from tests.helpers.tiny_teacher import teacher


@pytest.mark.parametrize("count", [1, 4, 6, 12])
def test_an_order_is_a_permutation_whatever_the_count(count: int) -> None:
    order = cluster(torch.randn(24, 8), count)
    assert torch.equal(order.sort().values, torch.arange(24))


def test_rows_that_are_alike_share_a_cluster() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 8, generator=generator) * 10
    which = torch.arange(4).repeat(6)
    rows = centres[which] + 0.1 * torch.randn(24, 8, generator=generator)
    assert all(len(set(which[run].tolist())) == 1 for run in cluster(rows, 4).view(4, 6))


def test_clusters_that_do_not_divide_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="5 clusters"):
        cluster(torch.randn(24, 8), 5)


def test_centroids_have_the_least_loss_if_they_choose_as_the_target_does() -> None:
    shape = MTPShape(hidden_size=16, intermediate_size=24, ordered=True, centroids=8, top_centroids=2)
    masked = build_assistant(teacher(), shape, 0).masked_embedding
    assert torch.equal(masked.token_ordering.sort().values, torch.arange(320))
    wished = torch.zeros(8, 320)
    for row in range(8):
        wished[row, masked.token_ordering.view(8, -1)[row, 0]] = 30.0  # all mass in cluster `row`
    with torch.no_grad():
        masked.centroids.weight.zero_()
        masked.centroids.weight[:, :8] = 20 * torch.eye(8)
    right, wrong = torch.eye(8, 16), torch.eye(8, 16).roll(1, 0)
    assert centroid_loss(masked, right, wished, 0.5) < 0.01
    assert centroid_loss(masked, wrong, wished, 0.5) > 5
