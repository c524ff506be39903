"""A llama-server is checked against its arm, asked for every setting, and believed where its counts agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drafters.base import Sampling
from drafters.errors import InputError
from harness.engines.llama_cpp.server import SEEDS, Drafting, LlamaSession, agree, parameters_of
from harness.engines.session import Request
from harness.engines.worker import EngineError
from harness.records.rounds import Round
from tests.helpers.fake_llama import FakeLlama, server_of
from tests.helpers.fake_server import running

PROMPT = [5, 6, 7]
GREEDY = Request(9, (1,))
MTP = Drafting("mtp", 3, True, "draft-mtp", 40, "float32")
BASELINE = Drafting("baseline", 0, True, "none", 40, "float32")


def test_an_answer_becomes_tokens_rounds_and_counters() -> None:
    with running(server_of(FakeLlama(3, "draft-mtp"))) as url:
        session = LlamaSession(url, MTP)
        (made,) = session.decode([PROMPT], GREEDY)
    assert made.token_ids == list(range(28, 37))
    # Eight tokens after the first: 3, 1, 2 and, with two left, one draft of which one is accepted.
    counts = [(one.drafted, one.accepted, one.emitted) for one in made.rounds]
    assert counts == [(3, 2, 3), (3, 0, 1), (3, 1, 2), (1, 1, 2)]
    assert made.engine_counters == {
        "num_drafts": 4, "num_draft_tokens": 10, "num_accepted_tokens": 4, "num_accepted_tokens_per_pos": [3, 1, 0],
    }  # fmt: skip


def test_counts_hold_for_prompts_that_are_asked_together() -> None:
    with running(server_of(FakeLlama(3, "draft-mtp"))) as url:
        made = LlamaSession(url, MTP).decode([PROMPT, [9, 9]], GREEDY)
    assert [len(one.rounds) for one in made] == [4, 4]
    assert [one.engine_counters for one in made] == [None, None]


def test_rounds_that_contradict_the_servers_counters_are_not_kept() -> None:
    with running(server_of(FakeLlama(3, "draft-mtp", "miscount"))) as url:
        (made,) = LlamaSession(url, MTP).decode([PROMPT], GREEDY)
    assert made.rounds == [] and len(made.token_ids) == 9


def test_every_place_must_agree() -> None:
    rounds = [Round(0, 3, 2, 1, 2, None, None, None), Round(1, 5, 0, 0, 1, None, None, None)]
    counted = {"num_drafts": 1, "num_draft_tokens": 2, "num_accepted_tokens": 1, "num_accepted_tokens_per_pos": [1, 0]}
    assert agree(rounds, counted)
    assert not agree(rounds, counted | {"num_accepted_tokens_per_pos": [0, 1]})
    assert not agree(rounds, counted | {"num_drafts": 2})
    assert agree([], {}) and not agree(rounds, {})


def test_a_restarted_server_is_an_error() -> None:
    fake = FakeLlama(3, "draft-mtp")
    with running(server_of(fake)) as url:
        session = LlamaSession(url, MTP)
        fake.fault = "restart"
        with pytest.raises(EngineError, match="restarted or replaced"):
            session.decode([PROMPT], GREEDY)


def test_drafts_that_end_early_are_an_error_unless_the_arm_asks_for_it() -> None:
    with running(server_of(FakeLlama(3, "draft-mtp", "short"))) as url:
        with pytest.raises(EngineError, match=r"drafted 2 tokens where k is 3 .*--spec-draft-p-min 0"):
            LlamaSession(url, MTP).decode([PROMPT], GREEDY)
        assert LlamaSession(url, replace(MTP, full=False)).decode([PROMPT], GREEDY)[0].rounds


@pytest.mark.parametrize(
    ("fake", "drafting", "message"),
    [
        (FakeLlama(3, "draft-mtp"), BASELINE, r"engine\.url of baseline: .* speculates \(draft-mtp\)"),
        (FakeLlama(), MTP, "does not speculate, expected one started with --spec-type draft-mtp"),
        (FakeLlama(3, "draft-dflash"), MTP, "speculates with draft-dflash"),
        (FakeLlama(5, "draft-mtp"), MTP, "drafts 5 tokens a round and the arm 3; expected num_draft_tokens=5"),
        (FakeLlama(3, "draft-mtp", context=39), MTP, "holds 39 tokens a slot.*takes 40"),
    ],
)
def test_a_server_that_does_not_fit_its_arm_is_refused(fake: FakeLlama, drafting: Drafting, message: str) -> None:
    with running(server_of(fake)) as url, pytest.raises(InputError, match=message):
        LlamaSession(url, drafting)


def test_a_server_that_is_not_there_or_breaks_off_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9 does not answer"):
        LlamaSession("http://127.0.0.1:9", MTP)
    fake = FakeLlama(3, "draft-mtp")
    with running(server_of(fake)) as url:
        session = LlamaSession(url, MTP)
        fake.cut = 2
        with pytest.raises(EngineError, match="broke off after 8 tokens"):
            session.decode([PROMPT], GREEDY)


@pytest.mark.parametrize(("ftype", "found"), [("all F32", None), ("Q8_0", "Q8_0"), ("F16", "F16")])
def test_weights_other_than_the_targets_are_named(ftype: str, found: str | None) -> None:
    with running(server_of(FakeLlama(ftype=ftype))) as url:
        assert LlamaSession(url, BASELINE).weights == found


def test_every_sampling_setting_is_sent_as_a_value() -> None:
    greedy = parameters_of(Request(4, ()), None)
    assert (greedy["temperature"], greedy["top_k"], greedy["top_p"], greedy["repeat_penalty"]) == (0.0, 0, 1.0, 1.0)
    drawn = parameters_of(Request(4, (), Sampling(0.5, 20, 0.9)), SEEDS + 7)
    assert (drawn["temperature"], drawn["top_k"], drawn["top_p"], drawn["seed"]) == (0.5, 20, 0.9, 7)
    assert drawn["samplers"] == ["temperature", "top_k", "top_p"]  # the harness's order
    assert set(greedy) == set(drawn) and None not in drawn.values()


def test_a_request_leaves_nothing_to_the_servers_defaults() -> None:
    fake = FakeLlama(3, "draft-mtp")
    with running(server_of(fake)) as url:
        session = LlamaSession(url, MTP)
        session.decode([PROMPT], Request(9, (1,), Sampling(0.5, 20, 0.9), seed=3))
        session.decode([PROMPT], Request(9, ()))
    drawn, greedy = fake.asked[-2:]
    assert drawn == {
        "prompt": PROMPT, "n_predict": 9, "ignore_eos": False, "return_tokens": True, "cache_prompt": False,
        "stream": True, "timings_per_token": True, "seed": 3, "temperature": 0.5, "top_k": 20, "top_p": 0.9,
        "samplers": ["temperature", "top_k", "top_p"], "min_p": 0.0, "typical_p": 1.0, "top_n_sigma": -1.0,
        "xtc_probability": 0.0, "dynatemp_range": 0.0, "repeat_penalty": 1.0, "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "dry_multiplier": 0.0, "mirostat": 0,
    }  # fmt: skip
    off = {"ignore_eos": True, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
    assert greedy == drawn | off
