"""Sampled answers come from the target's distribution, whoever drafts and however drafts are chosen.

A target with six tokens has 1296 answers of four tokens; transformers' logits and warpers give their probabilities.
The first token comes from prefill, the others from rounds of two drafts: accepted, from a residual, or as the bonus.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from drafters.base import Proposal, Sampling
from drafters.sampling import draw, token_probs
from harness import generate, load_drafter, load_target
from harness.decoding import decoder as decoder_module
from harness.decoding.decoder import DecodeSettings
from harness.decoding.verify import Accepted, rejection
from harness.target.target import Target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.chisquare import CERTAINTY, DOUBT, code, p_value
from tests.helpers.many_rows import answers

V, TOKENS, K, ROWS = 6, 4, 2, 12_000
PROMPT = [5, 3, 0, 2, 4, 1]  # longer than the window
PLAIN, CUT = Sampling(0.3), Sampling(0.4, 4, 0.9)


@functools.cache
def target() -> Target:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    layers = {"num_hidden_layers": 2, "layer_types": [tiny.S, tiny.F], "head_dim": 4, "global_head_dim": 8}
    return load_target(tiny.target_model("dense_k_eq_v", vocab_size=V, sliding_window=4, **shape, **layers))


def drafter(name: str, sample: bool) -> Any:
    if name == "mtp":
        return load_drafter(name, tiny.assistant_model(target().model), target=target(), sample=sample)
    network = tiny.dflash_model(
        target().model,
        num_hidden_layers=2,
        layer_types=(tiny.S, tiny.F),
        target_layer_ids=(0,),
        sliding_window=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
    )
    return load_drafter(name, network, target=target(), sample=sample)


@functools.cache
def exact(sampling: Sampling) -> Tensor:
    """Chances [V**TOKENS] of all answers."""
    prefixes, chances = torch.tensor([PROMPT]), torch.ones(1)
    for _ in range(TOKENS):
        with torch.no_grad():
            logits = target().model(prefixes, use_cache=False).logits[:, -1]
        chances = (chances[:, None] * reference.transformers_probs(logits, sampling)).flatten()
        following = torch.arange(V).repeat(len(prefixes))[:, None]
        prefixes = torch.cat((prefixes.repeat_interleave(V, dim=0), following), dim=1)
    return chances


def doubt(tokens: Tensor, sampling: Sampling) -> float:
    return p_value(code(tokens, V), exact(sampling))


def decoded(drafting: Any, sampling: Sampling, verification: str = "rejection") -> tuple[Tensor, float]:
    settings = DecodeSettings(K, TOKENS, sampling, verification)
    return answers(target(), drafting, PROMPT, ROWS, settings)


@pytest.mark.parametrize("sampling", [PLAIN, CUT], ids=["temperature", "top-k and top-p"])
def test_the_baseline_has_the_targets_distribution(sampling: Sampling) -> None:
    tokens, _ = decoded(None, sampling)
    assert doubt(tokens, sampling) > DOUBT
    assert doubt(tokens, Sampling(sampling.temperature * 1.2)) < CERTAINTY


@pytest.mark.parametrize("sampling", [PLAIN, CUT], ids=["temperature", "top-k and top-p"])
@pytest.mark.parametrize("sample", [True, False], ids=["drawn drafts", "argmax drafts"])
@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_rejection_keeps_the_targets_distribution(name: str, sample: bool, sampling: Sampling) -> None:
    tokens, share = decoded(drafter(name, sample), sampling)
    assert doubt(tokens, sampling) > DOUBT
    assert 0.05 < share < 0.9  # accepted drafts, residuals and bonus tokens all have their part


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_sample_and_match_keeps_the_targets_distribution(name: str) -> None:
    tokens, share = decoded(drafter(name, True), PLAIN, "match")
    assert doubt(tokens, PLAIN) > DOUBT
    assert 0.05 < share < 0.9


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_answers_of_the_plain_api_have_it_too(name: str) -> None:
    """Fewer rows, every one of them prefilled; two tokens have 36 outcomes."""
    found = generate(
        target(), drafter(name, True), [PROMPT] * 600, num_draft_tokens=K, max_new_tokens=3, temperature=0.3
    )
    tokens = torch.tensor([generation.token_ids[1:] for generation in found])
    pairs = exact(PLAIN).view(V, V, V, V).sum(dim=(0, 3)).flatten()
    assert p_value(code(tokens, V), pairs) > DOUBT


# -- the statistic fails where it must ---------------------------------------------------------------------------------


class Lying:
    """Drafts the likeliest tokens and declares the distribution it did not draw them from."""

    def __init__(self, inner: Any) -> None:
        self.__dict__["inner"] = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        honest = self.inner.propose(anchor, position)
        return Proposal(honest.probs.argmax(dim=-1), honest.probs)


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_a_false_q_is_seen(name: str) -> None:
    tokens, _ = decoded(Lying(drafter(name, True)), PLAIN)
    assert doubt(tokens, PLAIN) < CERTAINTY


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_a_residual_without_subtraction_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(draft: Tensor, q: Any, p: Tensor, accept: Tensor, choose: Tensor, proposed: Any = None) -> Accepted:
        found = rejection(draft, q, p, accept, choose, proposed)
        rows = torch.arange(len(p))
        found.tokens[rows, found.drafts] = draw(p[rows, found.drafts], choose[rows, found.drafts])
        return found

    monkeypatch.setattr(decoder_module, "rejection", wrong)
    tokens, _ = decoded(drafter(name, True), PLAIN)
    assert doubt(tokens, PLAIN) < CERTAINTY


def test_a_p_without_top_p_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier must cut p as the user asked, from any distribution the drafter drew from."""
    monkeypatch.setattr(decoder_module, "token_probs", lambda logits, sampling: token_probs(logits, Sampling(0.4, 4)))
    tokens, _ = decoded(drafter("mtp", True), CUT)
    assert doubt(tokens, CUT) < CERTAINTY
