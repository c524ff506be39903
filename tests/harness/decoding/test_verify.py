"""The accept rules, against a slow reading of their definition, over arbitrary small inputs."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.decoding.verify import greedy, match, rejection, sample_and_match, synthetic


class Case(NamedTuple):
    draft: Tensor  # [B, k]
    q: Tensor  # [B, k, V]
    p: Tensor  # [B, k+1, V]
    accept: Tensor  # [B, k]
    choose: Tensor  # [B, k+1]
    proposed: Tensor  # [B]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch, k, vocab = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sharpness = draw(st.sampled_from([0.3, 2.0, 8.0]))

    def distribution(rows: int) -> Tensor:
        scores = sharpness * torch.randn(batch, rows, vocab, generator=generator)
        cut = torch.rand(batch, rows, vocab, generator=generator) < draw(st.sampled_from([0.0, 0.4]))
        cut[..., 0] = False
        return scores.masked_fill(cut, -torch.inf).softmax(dim=-1)

    q, p = distribution(k), distribution(k + 1)
    if draw(st.booleans()) and k:
        q = p[:, :k].clone()
    draft = (
        torch.multinomial(q.flatten(0, 1), 1, generator=generator).view(batch, k)
        if k
        else torch.zeros(batch, 0, dtype=torch.long)
    )
    return Case(
        draft,
        q,
        p,
        torch.rand(batch, k, generator=generator, dtype=torch.float64),
        torch.rand(batch, k + 1, generator=generator, dtype=torch.float64),
        torch.randint(0, k + 1, (batch,), generator=generator),
    )


def chosen(weights: list[float], uniform: float) -> int:
    """The first token whose cumulative share exceeds `uniform`."""
    total, seen = sum(weights), 0.0
    for token, weight in enumerate(weights):
        seen += weight
        if seen > uniform * total:
            return token
    raise AssertionError("uniform numbers lie below one")


def slow_rejection(case: Case, row: int, soft: bool, limit: int) -> list[int]:
    """Algorithm 1 of speculative sampling for one row, in plain Python."""
    out: list[int] = []
    for i in range(limit):
        token = int(case.draft[row, i])
        p = case.p[row, i].double().tolist()
        one_hot = [float(token == other) for other in range(len(p))]
        q = case.q[row, i].double().tolist() if soft else one_hot
        if float(case.accept[row, i]) < p[token] / q[token]:
            out.append(token)
            continue
        residual = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
        return [*out, chosen(residual if sum(residual) > 1e-8 else p, float(case.choose[row, i]))]
    return [*out, chosen(case.p[row, limit].double().tolist(), float(case.choose[row, limit]))]


@given(case=cases(), soft=st.booleans(), all_proposed=st.booleans())
def test_rejection_is_algorithm_one(case: Case, soft: bool, all_proposed: bool) -> None:
    k = case.draft.shape[1]
    proposed = None if all_proposed else case.proposed
    found = rejection(case.draft, case.q if soft else None, case.p, case.accept, case.choose, proposed)
    for row in range(len(case.p)):
        limit = k if all_proposed else int(case.proposed[row])
        count = int(found.drafts[row])
        assert found.tokens[row, : count + 1].tolist() == slow_rejection(case, row, soft, limit)
        assert count <= limit


@given(case=cases(), soft=st.booleans())
def test_rejection_treats_each_row_as_if_it_were_alone(case: Case, soft: bool) -> None:
    q = case.q if soft else None
    together = rejection(case.draft, q, case.p, case.accept, case.choose, case.proposed)
    for row in range(len(case.p)):
        one = slice(row, row + 1)
        alone = rejection(
            case.draft[one], None if q is None else q[one], case.p[one], case.accept[one], case.choose[one],
            case.proposed[one],
        )  # fmt: skip
        count = int(alone.drafts[0])
        assert int(together.drafts[row]) == count
        assert torch.equal(together.tokens[row, : count + 1], alone.tokens[0, : count + 1])


@given(case=cases(), soft=st.booleans())
def test_what_was_not_proposed_does_not_matter(case: Case, soft: bool) -> None:
    k = case.draft.shape[1]
    other, q = case.draft.clone(), case.q.clone()
    hidden = torch.arange(k) >= case.proposed[:, None]
    other[hidden], q[hidden] = 1, 0.5
    before = rejection(case.draft, case.q if soft else None, case.p, case.accept, case.choose, case.proposed)
    after = rejection(other, q if soft else None, case.p, case.accept, case.choose, case.proposed)
    assert torch.equal(before.drafts, after.drafts)
    for row, count in enumerate(before.drafts.tolist()):
        assert torch.equal(before.tokens[row, : count + 1], after.tokens[row, : count + 1])


@given(case=cases(), soft=st.booleans())
def test_no_token_outside_the_targets_distribution_is_ever_emitted(case: Case, soft: bool) -> None:
    found = rejection(case.draft, case.q if soft else None, case.p, case.accept, case.choose)
    for row, count in enumerate(found.drafts.tolist()):
        for i, token in enumerate(found.tokens[row, : count + 1].tolist()):
            assert case.p[row, i, token] > 0


@given(case=cases())
def test_a_perfect_q_is_always_accepted(case: Case) -> None:
    k = case.draft.shape[1]
    p = torch.cat((case.q, case.p[:, k:]), dim=1)
    assert rejection(case.draft, case.q, p, case.accept, case.choose).drafts.tolist() == [k] * len(p)


@given(case=cases())
def test_a_rejected_deterministic_draft_is_not_emitted_after_all(case: Case) -> None:
    k = case.draft.shape[1]
    found = rejection(case.draft, None, case.p, case.accept, case.choose)
    for row, count in enumerate(found.drafts.tolist()):
        if count < k:
            assert int(found.tokens[row, count]) != int(case.draft[row, count])


def test_a_rejection_at_each_position_draws_from_that_positions_row() -> None:
    """Row i of p knows one token only, i; drafts agree up to the place of the rejection."""
    k, vocab = 4, 6
    p = torch.eye(vocab)[None, : k + 1]  # [1, k+1, V]
    for place in range(k + 1):
        draft = torch.arange(k)[None]
        if place < k:
            draft = draft.clone()
            draft[0, place] = vocab - 1
        for q in (None, torch.full((1, k, vocab), 1 / vocab)):
            found = rejection(draft, q, p, torch.full((1, k), 0.9), torch.full((1, k + 1), 0.5))
            assert int(found.drafts[0]) == place
            assert found.tokens[0, : place + 1].tolist() == list(range(place + 1))


def test_equal_p_and_q_up_to_rounding_leave_the_target_to_choose() -> None:
    """A rejection that only rounding caused finds no residual mass; the token then comes from p."""
    p = torch.tensor([[[0.25, 0.75], [1.0, 0.0]], [[0.25, 0.75], [1.0, 0.0]], [[1e-8, 1.0], [1.0, 0.0]]])
    q = torch.tensor([[[0.25, 0.75]], [[0.75, 0.25]], [[0.0, 1.0]]], dtype=torch.float64) + 1e-12
    drafts, half = torch.tensor([[0], [0], [1]]), torch.full((3, 2), 0.5)
    found = rejection(drafts, q, p, torch.ones(3, 1), half)
    assert (found.drafts.tolist(), found.tokens[:, 0].tolist()) == ([0, 0, 0], [1, 1, 1])
    border = rejection(drafts[2:], torch.tensor([[[0.0, 1.0]]]), p[2:], torch.ones(1, 1), half[2:])
    assert int(border.tokens[0, 0]) == 1
    ample = torch.tensor([[[3e-8, 1.0], [1.0, 0.0]]])  # the residual alone, where it has any mass to speak of
    assert int(rejection(drafts[2:], q[2:], ample, torch.ones(1, 1), half[2:]).tokens[0, 0]) == 0


def test_a_draft_that_the_target_never_emits_is_rejected_by_a_uniform_of_zero_too() -> None:
    p = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    for q in (None, torch.tensor([[[1.0, 0.0]]])):
        found = rejection(torch.tensor([[0]]), q, p, torch.zeros(1, 1), torch.zeros(1, 2))
        assert (int(found.drafts[0]), int(found.tokens[0, 0])) == (0, 1)


@given(case=cases(), all_proposed=st.booleans())
def test_greedy_and_match_accept_the_common_prefix(case: Case, all_proposed: bool) -> None:
    k = case.draft.shape[1]
    best = case.p.argmax(dim=-1)
    proposed = None if all_proposed else case.proposed
    found = greedy(case.draft, case.p.log(), proposed)
    for row in range(len(best)):
        limit = k if all_proposed else int(case.proposed[row])
        count = 0
        while count < limit and case.draft[row, count] == best[row, count]:
            count += 1
        assert int(found.drafts[row]) == count
        assert torch.equal(found.tokens[row, : count + 1], best[row, : count + 1])
    same = match(case.draft, best, proposed)
    assert torch.equal(same.drafts, found.drafts) and torch.equal(same.tokens, found.tokens)


@given(case=cases(), all_proposed=st.booleans())
def test_sample_and_match_emits_the_targets_own_draws(case: Case, all_proposed: bool) -> None:
    k = case.draft.shape[1]
    found = sample_and_match(case.draft, case.p, case.choose, None if all_proposed else case.proposed)
    for row, count in enumerate(found.drafts.tolist()):
        own = [
            chosen(case.p[row, i].double().tolist(), float(case.choose[row, i])) for i in range(case.p.shape[1])
        ]  # fmt: skip
        assert found.tokens[row, : count + 1].tolist() == own[: count + 1]
        limit = k if all_proposed else int(case.proposed[row])
        assert count == limit or (count < limit and int(case.draft[row, count]) != own[count])


def test_assumed_acceptance_goes_as_far_as_the_rates_say_and_never_past_what_was_proposed() -> None:
    draft, own = torch.tensor([[1, 2, 3]] * 5), torch.tensor([[6, 7, 8, 9]] * 5)
    rates, uniform = torch.tensor([0.8, 0.4, 0.4]), torch.tensor([0.1, 0.39, 0.4, 0.79, 0.8])
    accepted = synthetic(draft, own, rates, uniform)
    assert accepted.drafts.tolist() == [3, 3, 1, 1, 0]
    assert accepted.tokens.tolist() == [[1, 2, 3, 9]] * 2 + [[1, 7, 8, 9]] * 2 + [[6, 7, 8, 9]]
    proposed = torch.tensor([2, 0, 3, 0, 3])
    cut = synthetic(draft, own, rates, uniform, proposed)
    assert cut.drafts.tolist() == [2, 0, 1, 0, 0]
    assert cut.tokens.tolist() == [[1, 2, 8, 9], [6, 7, 8, 9], [1, 7, 8, 9], [6, 7, 8, 9], [6, 7, 8, 9]]


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("k", [0, 2])
def test_nothing_lands_on_another_device_than_its_tensors(k: int, soft: bool) -> None:
    """The default device is another one here, so that a tensor made without a device would show."""
    draft, own = torch.zeros(2, k, dtype=torch.long), torch.ones(2, k + 1, dtype=torch.long)
    p, q = torch.full((2, k + 1, 4), 0.25), torch.full((2, k, 4), 0.25)
    high, rates = torch.full((2, k + 1), 0.9), torch.full((k,), 0.5)
    with torch.device("meta"):
        found = rejection(draft, q if soft else None, p, high[:, :k], high)
        assumed = synthetic(draft, own, rates, high[:, 0])
    assert found.drafts.tolist() == [k if soft else 0] * 2
    assert found.tokens[:, -1].tolist() == ([3] * 2 if soft or not k else [0] * 2)
    assert assumed.tokens.tolist() == own.tolist()
