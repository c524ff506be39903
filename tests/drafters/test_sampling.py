"""Temperature, top-k and top-p as transformers applies them, and draws that follow their weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drafters.base import Sampling
from drafters.sampling import chosen_by_numbers, draw, soft_cap, token_probs
from tests.helpers.chisquare import DOUBT, p_value
from tests.helpers.reference import transformers_probs


@given(
    seed=st.integers(0, 2**31),
    vocab=st.integers(2, 30),
    temperature=st.floats(0.2, 3.0),
    top_k=st.one_of(st.none(), st.integers(1, 40)),
    top_p=st.one_of(st.none(), st.floats(0.05, 1.0)),
)
def test_token_probs_are_transformers_own(
    seed: int, vocab: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = 3 * torch.randn(4, vocab, generator=torch.Generator().manual_seed(seed))
    sampling = Sampling(temperature, top_k, top_p)
    found = token_probs(logits, sampling)
    torch.testing.assert_close(found, transformers_probs(logits, sampling), rtol=1e-4, atol=1e-6)
    assert torch.equal(found.argmax(dim=-1), logits.argmax(dim=-1))


def test_shapes_before_the_vocabulary_are_free() -> None:
    logits = torch.randn(2, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(0.8, 5, 0.9)
    flat = token_probs(logits.reshape(-1, 7), sampling)
    assert torch.equal(token_probs(logits, sampling).reshape(-1, 7), flat)


@pytest.mark.parametrize("top_p", [1e-9, 0.1])
def test_the_likeliest_token_always_stays(top_p: float) -> None:
    probs = token_probs(torch.tensor([1.0, 3.0, 2.0]), Sampling(1.0, None, top_p))
    assert probs.tolist() == [0.0, 1.0, 0.0]


def test_top_p_stops_once_the_mass_before_a_token_reaches_it() -> None:
    assert token_probs(torch.zeros(4), Sampling(1.0, None, 0.5)).sort().values.tolist() == [0.0, 0.0, 0.5, 0.5]


def test_a_top_p_of_one_keeps_the_unlikeliest_token_too() -> None:
    logits = torch.tensor([0.0, -30.0])
    assert torch.equal(token_probs(logits, Sampling(1.0, None, 1.0)), logits.softmax(dim=-1))


def test_the_cap_is_transformers_own_and_works_in_place() -> None:
    logits = torch.tensor([-400.0, -1.0, 0.0, 20.0])
    wanted = torch.tanh(logits / 30.0) * 30.0
    found = soft_cap(logits, 30.0)
    assert torch.equal(found, wanted) and found is logits
    assert soft_cap(logits, None) is logits and torch.equal(logits, wanted)


@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=12).filter(any),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_a_token_of_weight_zero_is_never_drawn(weights: list[float], uniform: float) -> None:
    token = int(draw(torch.tensor(weights, dtype=torch.float64), torch.tensor(uniform, dtype=torch.float64)))
    assert weights[token] > 0


def test_the_ends_of_the_unit_interval_draw_the_ends_of_the_support() -> None:
    weights = torch.tensor([[0.0, 2.0, 0.0, 1.0, 0.0]]).expand(2, -1)
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(weights, ends).tolist() == [1, 3]


def test_draws_follow_unnormalised_weights() -> None:
    weights = torch.tensor([3.0, 0.0, 1.0, 6.0])
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert p_value(draw(weights.expand(20_000, -1), uniform), weights) > DOUBT
    assert p_value(draw(weights.flip(0).expand(20_000, -1), uniform), weights) == 0.0


def judged(logits: torch.Tensor) -> torch.Tensor:
    """True [3, ...] where the best token, and one drawn in each of two ways, were chosen by numbers."""
    found = [chosen_by_numbers(logits, logits.argmax(dim=-1))]
    for sampling in (Sampling(0.7), Sampling(0.7, 4, 0.9)):
        probs = token_probs(logits, sampling)
        drawn = draw(probs, torch.full(logits.shape[:-1], 0.5, dtype=torch.float64))
        found.append(chosen_by_numbers(probs, drawn) & probs[..., 0].isfinite())
    return torch.stack(found)


@pytest.mark.parametrize(
    ("dtype", "compiled"),
    [
        (torch.float32, False),
        (torch.float16, False),
        pytest.param(torch.float16, True, id="compiled", marks=pytest.mark.slow),
    ],
)
def test_a_single_score_that_is_no_number_is_seen_wherever_it_stands(dtype: torch.dtype, compiled: bool) -> None:
    logits = torch.randn(1 + 2 * 19 + 1, 19, generator=torch.Generator().manual_seed(2)).to(dtype)
    for token in range(19):
        logits[1 + token, token] = torch.nan
        logits[1 + 19 + token, token] = torch.inf
    logits[-1] = -torch.inf
    found = (torch.compile(judged, fullgraph=True, dynamic=False) if compiled else judged)(logits)
    assert found.tolist() == [[True] + [False] * (2 * 19 + 1)] * 3


def test_each_token_is_judged_by_its_own_score() -> None:
    scores, tokens = torch.zeros(2, 3, 5), torch.tensor([[0, 1, 2], [3, 4, 4]])
    scores[0, 1, 1] = scores[1, 2, 4] = torch.nan
    assert chosen_by_numbers(scores, tokens).tolist() == [[True, False, True], [True, True, False]]


def test_tokens_that_are_ruled_out_are_numbers_enough() -> None:
    logits = torch.randn(5, 19, generator=torch.Generator().manual_seed(2))
    assert judged(logits.masked_fill(torch.arange(19) % 3 > 0, -torch.inf)).all()
