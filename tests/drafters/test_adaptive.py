"""Adaptive drafting limits what is proposed, by rules that cannot see the token they judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from drafters.adaptive import AdaptiveLimit, History, Stop
from drafters.base import Proposal, Sampling
from drafters.dflash.model import DFlashModel
from drafters.errors import InputError
from harness import generate, load_drafter
from tests.harness.decoding.test_generate_distribution import PLAIN, K, decoded, doubt, drafter, target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.chisquare import CERTAINTY, DOUBT

STRUCTURE = "dense_k_eq_v"
NETWORKS = {"mtp": tiny.assistant_model, "dflash": tiny.dflash_model}


def adaptive(name: str, **options: Any) -> Any:
    return reference.drafter(name, STRUCTURE, **options)


# -- the rules ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=30), st.floats(0.0, 1.0))
def test_max_prob_and_entropy_read_the_distribution(weights: list[float], threshold: float) -> None:
    q = torch.tensor(weights) / sum(weights)
    assert bool(Stop("max_prob", threshold).keeps(q)) == (float(q.max()) >= threshold)
    entropy = float(-(q * q.log()).sum())
    if abs(entropy - threshold) > 1e-4:
        assert bool(Stop("entropy", threshold).keeps(q)) == (entropy <= threshold)


def test_p_min_judges_by_the_ten_best_alone() -> None:
    q = torch.cat((torch.tensor([0.3]), torch.full((9,), 0.1 / 9), torch.full((60,), 0.01)))
    assert float(q[0] / q.topk(10).values.sum()) > 0.7
    assert bool(Stop("p_min", 0.7).keeps(q))
    assert not bool(Stop("max_prob", 0.7).keeps(q))


@given(
    limit=st.integers(1, 8), proposed=st.integers(0, 8), accepted=st.integers(0, 8), k=st.integers(1, 8)
)
def test_history_grows_by_two_and_shrinks_by_one(limit: int, proposed: int, accepted: int, k: int) -> None:
    limit, accepted = min(limit, k), min(accepted, proposed)
    one = torch.tensor([0]).new_tensor
    found = int(History().next(one([limit]), one([proposed]), one([accepted]), k))
    wanted = limit if proposed == 0 else limit + 2 if accepted == proposed else limit - 1
    assert found == min(max(wanted, 1), k)


# -- in the loop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"stop": "max_prob", "stop_threshold": 0.066},
        {"stop": "entropy", "stop_threshold": 3.15},
        {"stop": "p_min", "stop_threshold": 0.128},
        {"adapt": "history", "adapt_start": 2},
        {"adapt": "history", "stop": "max_prob", "stop_threshold": 0.066},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_greedy_answers_stay_the_targets_and_lengths_vary(name: str, options: dict[str, Any]) -> None:
    found = generate(
        reference.target(STRUCTURE), adaptive(name, **options), tiny.prompt(30), num_draft_tokens=6, max_new_tokens=60
    )
    assert found.token_ids == reference.answer(STRUCTURE, 30)[:60]
    lengths = {r.drafted for r in found.rounds}
    assert lengths <= set(range(7))
    assert len(lengths) > 1
    assert all(len(r.draft_token_ids) == r.drafted >= r.accepted for r in found.rounds)


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_a_limited_proposal_is_a_beginning_of_the_whole_one(name: str) -> None:
    plain, limited = adaptive(name), adaptive(name, stop="max_prob", stop_threshold=0.066)
    whole, cut = (
        generate(reference.target(STRUCTURE), one, tiny.prompt(30), num_draft_tokens=6, max_new_tokens=2)
        for one in (plain, limited)
    )
    kept = cut.rounds[0].draft_token_ids
    assert kept == whole.rounds[0].draft_token_ids[: len(kept)]


def test_history_follows_the_rounds_of_each_row() -> None:
    rows = [tiny.prompt(9, seed) for seed in range(3)]
    limited = adaptive("mtp", adapt="history", adapt_start=3)
    together = generate(reference.target(STRUCTURE), limited, rows, num_draft_tokens=5, max_new_tokens=40)
    for generation in together:
        limit = 3
        for r in generation.rounds:
            assert r.drafted == limit
            limit = min(limit + 2, 5) if r.accepted == r.drafted else max(limit - 1, 1)


def test_a_chained_drafter_skips_the_passes_that_no_row_needs() -> None:
    calls = []
    for options in ({}, {"adapt": "history", "adapt_start": 1}):
        one = adaptive("mtp", **options)
        count = [0]
        one.model.post_projection.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        found = generate(reference.target(STRUCTURE), one, tiny.prompt(9), num_draft_tokens=8, max_new_tokens=30)
        calls.append(count[0] / len(found.rounds))
    assert calls[0] == 8
    assert calls[1] < 2


def test_confidence_head_stops_by_hidden_state_and_the_token_before() -> None:
    aim = reference.target(STRUCTURE)
    shape: dict[str, Any] = {"markov_rank": 4, "confidence_head": True, "confidence_with_markov": True}
    model: Any = tiny.dflash_model(aim.model, **shape)
    one: Any = load_drafter("dflash", model, target=aim, stop="head", stop_threshold=0.5)
    seen: list[Tensor] = []
    model.confidence_head.register_forward_hook(lambda module, inputs, out: seen.append(out[0].clone()))
    found = generate(aim, one, tiny.prompt(30), num_draft_tokens=6, max_new_tokens=40)
    for r, log_odds in zip(found.rounds, seen, strict=True):
        unsure = (log_odds.sigmoid() < 0.5).nonzero().flatten().tolist()
        assert r.drafted == (unsure[0] if unsure else 6)
    assert len({r.drafted for r in found.rounds}) > 1


# -- the output keeps its distribution ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "history"),
    [(Stop("max_prob", 0.3), None), (Stop("entropy", 1.65), None), (Stop("max_prob", 0.26), History(1))],
    ids=["max_prob", "entropy", "both"],
)
@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_sampled_answers_keep_the_targets_distribution(name: str, stop: Stop, history: History | None) -> None:
    one, limit = drafter(name, True), AdaptiveLimit(stop, history)
    one.limit = limit
    tokens, _ = decoded(one, PLAIN)
    assert doubt(tokens, PLAIN) > DOUBT
    assert 0 < float(limit.proposed.double().mean()) < K  # some drafts were cut and some were not


class Anticipating:
    """Drops a drafted token when its own probability is low: the rule that is not allowed under sampling."""

    def __init__(self, inner: Any) -> None:
        self.__dict__["inner"] = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        whole = self.inner.propose(anchor, position)
        own = whole.probs.gather(-1, whole.tokens[..., None]).squeeze(-1)
        return Proposal(whole.tokens, whole.probs, (own >= 0.3).long().cumprod(dim=1).sum(dim=1))


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_a_rule_that_looks_at_the_drafted_token_is_seen(name: str) -> None:
    tokens, _ = decoded(Anticipating(drafter(name, True)), PLAIN)
    assert doubt(tokens, PLAIN) < CERTAINTY


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": "luck", "stop_threshold": 0.5}, "drafters.mtp.stop is 'luck', expected one of max_prob"),
        ({"stop": "max_prob"}, "drafters.mtp.stop_threshold is None, expected a number"),
        ({"stop": "max_prob", "stop_threshold": 1.5}, "stop_threshold is 1.5, expected 0 to 1"),
        ({"stop": "entropy", "stop_threshold": -1}, "stop_threshold is -1.0, expected 0 to inf"),
        ({"stop_threshold": 0.5}, "stop_threshold is 0.5, but stop is not set"),
        ({"stop": "head", "stop_threshold": 0.5}, "this checkpoint has no confidence head"),
        ({"adapt": "mood"}, "drafters.mtp.adapt is 'mood', expected 'history'"),
        ({"adapt_start": 3}, "adapt_start is 3, but adapt is not set"),
        ({"adapt": "history", "adapt_start": 0}, "adapt_start is 0, expected at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        adaptive("mtp", **options)
    assert message in str(error.value)


def test_p_min_is_for_greedy_decoding_only() -> None:
    one = adaptive("mtp", stop="p_min", stop_threshold=0.5)
    with pytest.raises(InputError, match=r"stop is 'p_min' and decoding\.temperature is 0\.7"):
        generate(reference.target(STRUCTURE), one, tiny.prompt(9), num_draft_tokens=3, temperature=0.7)


def test_controls_take_no_such_options() -> None:
    with pytest.raises(InputError, match=r"drafters\.random\.stop is no option"):
        load_drafter("random", None, target=target(), stop="max_prob", stop_threshold=0.5)


def test_a_limited_drafter_is_still_itself() -> None:
    one = adaptive("dflash", adapt="history")
    assert (one.name, one.taps, one.max_draft_tokens) == ("dflash", (0, 1, 2), 15)
    assert isinstance(one.model, DFlashModel)
    assert Sampling().temperature == 0
