"""The accept rules keep the target's distribution, and these tests notice when they do not.

The target here is a table: p(next | last) and q(next | last) over five tokens, so three tokens have 125 outcomes whose
chances are known exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from drafters.sampling import draw
from harness.decoding.verify import Accepted, rejection, sample_and_match
from tests.helpers.chisquare import CERTAINTY, DOUBT, code, p_value

V, K, N, ANCHOR = 5, 2, 40_000, 1
Rule = Callable[[Tensor, Tensor | None, Tensor, Tensor, Tensor], Accepted]


def table(seed: int, sharpness: float) -> Tensor:
    """Distributions [V, V] of the next token after each token."""
    scores = torch.randn(V, V, generator=torch.Generator().manual_seed(seed))
    return (sharpness * scores).softmax(dim=-1)


P, Q = table(1, 1.0), table(2, 0.8)
EXACT = (P[ANCHOR][:, None, None] * P[:, :, None] * P[None, :, :]).flatten()  # [V * V * V]


def three_tokens(rule: Rule, drafts: str, declared: str, seed: int = 0, q: Tensor = Q) -> Tensor:
    """N answers [N, 3]: one round of k = 2, and the target's own draws where it ended early.

    `drafts` is how they are chosen ("drawn" from q or its "argmax"); `declared` is the q that the rule is given
    ("q" or "one-hot").
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    last = torch.full((N,), ANCHOR)
    tokens, rows = [], []
    for _ in range(K):
        rows.append(q[last])
        last = draw(q[last], uniform(N)) if drafts == "drawn" else q[last].argmax(dim=-1)
        tokens.append(last)
    draft = torch.stack(tokens, dim=1)  # [N, k]
    p = P[torch.cat((torch.full((N, 1), ANCHOR), draft), dim=1)]  # [N, k+1, V]
    soft = torch.stack(rows, dim=1) if declared == "q" else None
    found = rule(draft, soft, p, uniform(N, K), uniform(N, K + 1))
    out = torch.zeros(N, K + 1, dtype=torch.long)
    for i in range(K + 1):
        before = torch.full((N,), ANCHOR) if i == 0 else out[:, i - 1]
        own = draw(P[before], uniform(N))
        out[:, i] = torch.where(i <= found.drafts, found.tokens[:, i], own)
    return out


def doubt(answers: Tensor) -> float:
    return p_value(code(answers, V), EXACT)


def matching(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    return sample_and_match(draft, p, choose)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("drafts", "declared"), [("drawn", "q"), ("argmax", "one-hot"), ("drawn", "one-hot")])
def test_rejection_keeps_the_distribution(drafts: str, declared: str, seed: int) -> None:
    """Declaring drawn drafts as deterministic is allowed too: it costs acceptance, not correctness."""
    assert doubt(three_tokens(rejection, drafts, declared, seed)) > DOUBT


@pytest.mark.parametrize("drafts", ["drawn", "argmax"])
def test_sample_and_match_keeps_it_whatever_is_declared(drafts: str) -> None:
    assert doubt(three_tokens(matching, drafts, "q")) > DOUBT


@pytest.mark.parametrize("drafts", ["drawn", "argmax"])
def test_a_q_without_some_of_the_targets_tokens_is_kept_right(drafts: str) -> None:
    narrow = torch.where(Q.topk(2, dim=-1).values[:, -1:] <= Q, Q, 0.0)
    narrow = narrow / narrow.sum(dim=-1, keepdim=True)
    declared = "q" if drafts == "drawn" else "one-hot"
    assert doubt(three_tokens(rejection, drafts, declared, q=narrow)) > DOUBT


# -- the statistic fails where it must ---------------------------------------------------------------------------------


def test_argmax_drafts_scored_against_a_soft_q_are_seen() -> None:
    assert doubt(three_tokens(rejection, "argmax", "q")) < CERTAINTY


def flattened_q(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    assert q is not None
    return rejection(draft, q.sqrt() / q.sqrt().sum(dim=-1, keepdim=True), p, accept, choose)


def residual_is_p(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    found = rejection(draft, q, p, accept, choose)
    rows = torch.arange(len(p))
    found.tokens[rows, found.drafts] = draw(p[rows, found.drafts], choose[rows, found.drafts])
    return found


def residual_of_the_row_before(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    assert q is not None
    found = rejection(draft, q, p, accept, choose)
    rows, index = torch.arange(len(p)), (found.drafts - 1).clamp_min(0)
    residual = (p[rows, index] - q[rows, index]).clamp_min(0)
    token = torch.where(found.drafts < K, draw(residual, choose[rows, found.drafts]), found.tokens[rows, found.drafts])
    found.tokens[rows, found.drafts] = token
    return found


def bonus_from_the_row_before(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    return rejection(draft, q, torch.cat((p[:, :K], p[:, K - 1 : K]), dim=1), accept, choose)


def bonus_minus_q(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    assert q is not None
    found = rejection(draft, q, p, accept, choose)
    everything = found.drafts == K
    wrong = draw((p[:, K] - q[:, K - 1]).clamp_min(0), choose[:, K])
    found.tokens[:, K] = torch.where(everything, wrong, found.tokens[:, K])
    return found


def one_draw_for_both(draft: Tensor, q: Tensor | None, p: Tensor, accept: Tensor, choose: Tensor) -> Accepted:
    return rejection(draft, q, p, choose[:, :K], choose)


@pytest.mark.parametrize(
    "rule",
    [
        flattened_q,
        residual_is_p,
        residual_of_the_row_before,
        bonus_from_the_row_before,
        bonus_minus_q,
        one_draw_for_both,
    ],
)
def test_a_wrong_rule_is_seen(rule: Rule) -> None:
    assert doubt(three_tokens(rule, "drawn", "q")) < CERTAINTY
