"""A server's pages and streams, read from a small server of the test's own on the loopback address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drafters.base import Sampling
from drafters.errors import InputError
from harness.engines.counters import counted_between, read_counters
from harness.engines.session import Request
from harness.engines.support import check_url
from harness.engines.vllm.server import ServerSession
from harness.engines.worker import EngineError
from tests.helpers.fake_server import PROMPT, Script, chunk, serving, zeros

PAGE = """# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 7.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="m"} 1.0
vllm:spec_decode_num_drafts_created{engine="0",model_name="m"} 1.79e+09
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="1"} 2.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="0"} 5.0
vllm:request_success_total{engine="0"} 3.0
"""
GREEDY = Request(6, (1,))


def test_counters_are_summed_over_engines_and_positions_stand_in_order() -> None:
    assert read_counters(PAGE) == {"num_drafts": 8, "num_accepted_tokens_per_pos": [5, 2]}
    assert read_counters("vllm:request_success_total 3.0 1700000000000") == {}  # it does not speculate
    assert read_counters("") is read_counters("process_open_fds 9") is None  # whether it does is unknown


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1.0", "0.5", "many", ""])
def test_a_counter_that_is_no_count_is_an_error(value: str) -> None:
    with pytest.raises(EngineError, match="/metrics page has the line"):
        read_counters(f'vllm:spec_decode_num_drafts_total{{engine="0"}} {value}')


def test_positions_with_a_gap_are_an_error() -> None:
    page = PAGE.replace('position="1"', 'position="2"')
    with pytest.raises(EngineError, match=r"at positions \[0, 2\]"):
        read_counters(page)


@pytest.mark.parametrize(
    ("after", "before"),
    [({"num_drafts": 3}, {"num_drafts": 5}), ({}, {"num_drafts": 5}), (None, {}), ({"pos": [1]}, {"pos": [1, 0]})],
)
def test_counters_that_went_back_are_a_restart(after: Any, before: Any) -> None:
    with pytest.raises(EngineError, match="restarted or replaced"):
        counted_between(after, before)


def test_an_address_without_a_host_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"engine\.url of mtp is localhost:8000: expected http"):
        check_url("localhost:8000", "engine.url of mtp")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as address:
        yield address


def test_streamed_steps_and_the_counters_around_them_become_rounds(script: Script, url: str) -> None:
    script.counters = zeros()
    script.chunks = [chunk(8), chunk(9, 10), chunk(11, 12, 13, finish="length")]
    (generation,) = ServerSession(url).decode([PROMPT], GREEDY)
    assert generation.token_ids == [8, 9, 10, 11, 12, 13]
    assert [(one.drafted, one.accepted, one.emitted) for one in generation.rounds] == [(3, 1, 2), (3, 2, 3)]
    assert generation.finish_reason == "length"
    assert generation.engine_counters == {
        "num_drafts": 2,
        "num_draft_tokens": 6,
        "num_accepted_tokens": 3,
        "num_accepted_tokens_per_pos": [2, 1, 0],
    }


def test_at_higher_concurrency_the_counters_belong_to_no_request(script: Script, url: str) -> None:
    script.counters = zeros()
    script.chunks = [chunk(8), chunk(9, 1, finish="stop")]
    both = ServerSession(url).decode([PROMPT, PROMPT], GREEDY)
    assert [one.token_ids for one in both] == [[8, 9, 1]] * 2
    assert [one.rounds for one in both] == [[], []]
    assert [one.engine_counters for one in both] == [None, None]


def test_counts_per_step_hold_at_any_concurrency(script: Script, url: str) -> None:
    script.counters = zeros()
    reported = {"speculative_decoding": {"per_step_drafted": [3], "per_step_accepted": [2]}}
    script.chunks = [chunk(8), chunk(9, 1, finish="stop"), {"choices": [], "metrics": reported}]
    both = ServerSession(url).decode([PROMPT, PROMPT], GREEDY)
    assert [[(r.drafted, r.accepted, r.emitted) for r in one.rounds] for one in both] == [[(3, 2, 2)]] * 2
    assert both[0].finish_reason == "eos"


def test_a_server_that_does_not_speculate_has_rounds_of_one_token(script: Script, url: str) -> None:
    script.chunks = [chunk(8), chunk(9), chunk(1, finish="stop")]
    (generation,) = ServerSession(url).decode([PROMPT], GREEDY)
    assert [(one.drafted, one.emitted) for one in generation.rounds] == [(0, 1), (0, 1)]


def test_the_request_asks_for_token_ids_and_for_these_end_tokens_only(script: Script, url: str) -> None:
    script.chunks = [chunk(8, finish="length")]
    session = ServerSession(url)
    session.decode([PROMPT], Request(1, (1, 4), Sampling(0.5, 20, 0.9), seed=3))
    (asked,) = script.asked
    assert asked["prompt"] == PROMPT and asked["model"] == "m"
    assert asked["return_token_ids"] is True and asked["ignore_eos"] is True and asked["stop_token_ids"] == [1, 4]
    assert (asked["temperature"], asked["top_k"], asked["top_p"], asked["seed"]) == (0.5, 20, 0.9, 3)
    session.decode([PROMPT], Request(1, (1,)))
    assert script.asked[1]["temperature"] == 0.0 and "seed" not in script.asked[1]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0)])
def test_a_setting_that_is_off_is_sent_as_a_value_for_a_server_has_defaults_of_its_own(
    script: Script, url: str, sampling: Sampling
) -> None:
    script.chunks = [chunk(8, finish="length")]
    ServerSession(url).decode([PROMPT], Request(1, (1,), sampling))
    (asked,) = script.asked
    neutral = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    neutral |= {"presence_penalty": 0.0, "frequency_penalty": 0.0, "temperature": sampling.temperature}
    assert {name: asked[name] for name in neutral} == neutral
    assert None not in asked.values()


def test_a_server_that_returns_text_only_is_an_error_that_says_so(script: Script, url: str) -> None:
    script.chunks = [{"choices": [{"text": "hello", "finish_reason": "length"}]}]
    with pytest.raises(EngineError, match="return_token_ids"):
        ServerSession(url).decode([PROMPT], GREEDY)


def test_a_server_that_is_not_there_is_an_error_with_its_address() -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9 does not answer"):
        ServerSession("http://127.0.0.1:9")
