"""The watched confidence is what the confidence stops judge by."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drafters.adaptive import Stop
from drafters.base import Proposal, Sampling
from drafters.confidence import ConfidenceWatch

CPU = torch.device("cpu")


@given(st.integers(0, 10_000), st.floats(0.02, 0.9))
def test_a_draft_is_kept_by_max_prob_where_its_confidence_reaches_the_threshold(seed: int, threshold: float) -> None:
    logits = 3 * torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(seed))
    watch = ConfidenceWatch()
    watch.begin(2, 3, Sampling(), CPU, drawn=False)
    watch.saw_block(logits)
    kept = Stop("max_prob", threshold).keeps(logits.softmax(dim=-1))
    clear = (watch.best - threshold).abs() > 1e-6
    assert torch.equal((watch.best >= threshold)[clear], kept[clear])


def test_slots_one_by_one_and_all_at_once_are_alike() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    one_by_one, at_once = ConfidenceWatch(), ConfidenceWatch()
    for watch in (one_by_one, at_once):
        watch.begin(2, 3, Sampling(), CPU, drawn=False)
    for slot in range(3):
        one_by_one.saw(slot, logits[:, slot])
    at_once.saw_block(logits)
    torch.testing.assert_close(one_by_one.best, at_once.best)


@pytest.mark.parametrize("odds", [-2.0, 0.0, 3.0])
def test_a_confidence_head_comes_before_probabilities_and_every_draft_is_proposed(odds: float) -> None:
    watch = ConfidenceWatch()
    watch.begin(1, 2, Sampling(), CPU, drawn=False)
    watch.saw_block(torch.zeros(1, 2, 4))
    watch.saw_confidence(torch.full((1, 2), odds))
    torch.testing.assert_close(watch.best, torch.full((1, 2), odds).sigmoid())
    proposal = Proposal(torch.zeros(1, 2, dtype=torch.long))
    assert watch.close(proposal) is proposal
