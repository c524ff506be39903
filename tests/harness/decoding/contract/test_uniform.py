"""Places in cumulative sums are uniform for a right sampler, and Kolmogorov's test agrees with scipy's."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from drafters.sampling import draw
from harness.decoding.contract.uniform import chance, places

N, V = 4000, 6


def uniform(seed: int) -> torch.Tensor:
    return torch.rand(N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distributions(seed: int = 0) -> torch.Tensor:
    """One of their own for each token, [N, V]."""
    return torch.randn(N, V, generator=torch.Generator().manual_seed(seed)).softmax(dim=-1)


@pytest.mark.parametrize("seed", range(3))
def test_tokens_of_their_own_distributions_have_uniform_places(seed: int) -> None:
    probs = distributions(seed)
    assert chance(places(probs, draw(probs, uniform(seed)), uniform(seed + 10))) > 1e-3


def test_tokens_of_other_distributions_have_not() -> None:
    probs = distributions()
    best = probs.argmax(dim=-1)
    flatter = (0.5 * probs.log()).softmax(dim=-1)
    assert chance(places(probs, best, uniform(1))) < 1e-9
    assert chance(places(probs, draw(flatter, uniform(2)), uniform(3))) < 1e-9


def test_always_one_of_equally_likely_tokens_is_noticed() -> None:
    probs = torch.full((N, V), 1 / V)
    assert chance(places(probs, torch.full((N,), 2), uniform(0))) < 1e-9
    assert chance(places(probs, draw(probs, uniform(1)), uniform(2))) > 1e-3


def test_a_token_of_probability_zero_is_impossible() -> None:
    probs = torch.tensor([[0.5, 0.5, 0.0]]).expand(N, 3)
    tokens = draw(probs, uniform(0))
    assert chance(places(probs, tokens, uniform(1))) > 1e-3
    tokens[0] = 2
    assert chance(places(probs, tokens, uniform(1))) == 0.0


@pytest.mark.parametrize("power", [1.0, 1.03, 1.1])
def test_the_chance_is_that_of_scipy(power: float) -> None:
    found = uniform(4) ** power
    expected = stats.kstest(found.numpy(), "uniform").pvalue
    assert chance(found) == pytest.approx(expected, rel=0.1, abs=1e-12)


def test_nothing_drawn_is_no_doubt() -> None:
    assert chance(torch.empty(0)) == 1.0
