"""An answer that is not whole is an error, however it ends; none of its tokens becomes a figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.engines.answer import Answer, draft_counts, finish_reason
from harness.engines.session import Request
from harness.engines.vllm.process import ProcessSession
from harness.engines.vllm.server import ServerSession
from harness.engines.worker import EngineError
from tests.helpers.fake_server import DONE, PROMPT, Script, chunk, serving

ENDS = (1, 4)
REQUEST = Request(3, ENDS)


def usage(new: Any, prompt: Any = 3) -> dict[str, Any]:
    return {"completion_tokens": new, "prompt_tokens": prompt}



#: What a stream of three tokens ends with instead, and what the error says.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no finish reason": ({"chunks": [chunk(8), chunk(9)]}, "broke off after 2 tokens, without a finish reason"),
    "no [DONE]": ({"tail": ""}, "broke off after 3 tokens, without"),
    "half a chunk": ({"tail": 'data: {"choices": [{"tok'}, "broke off after 3 tokens"),
    "connection dies": ({"broken": True}, "broke off after"),
    "abort": ({"chunks": [chunk(8), chunk(9, finish="abort")]}, "finish reason 'abort', expected stop or length"),
    "error": ({"chunks": [chunk(8), chunk(9, finish="error")]}, "finish reason 'error'"),
    "unknown word": ({"chunks": [chunk(8), chunk(9, finish="enough")]}, "finish reason 'enough'"),
    "error amid a stream": ({"chunks": [chunk(8), {"error": {"message": "out of memory"}}]}, "out of memory"),
    "tokens lost": ({"usage": usage(5)}, "counted 5 new tokens where there are 3"),
    "another prompt": ({"usage": usage(3, 4)}, "counted 4 prompt tokens where there are 3"),
    "no usage": ({"usage": {}}, "without its usage"),
    "usage is no number": ({"usage": usage("NaN")}, "counted 'NaN' new tokens"),
    "a shorter limit": ({"chunks": [chunk(8), chunk(9, finish="length")]}, "length limit after 2 tokens, expected 3"),
    "too many": ({"chunks": [chunk(8, 9, 10, 11, finish="length")]}, "length limit after 4 tokens, expected 3"),
    "stopped by another token": ({"chunks": [chunk(8), chunk(9, finish="stop")]}, "token 9, which is no end token"),
    "past the end": ({"chunks": [chunk(8), chunk(1), chunk(9, finish="length")]}, "went on after end token 1"),
    "after the finish": ({"chunks": [chunk(8, 9, 7, finish="length"), chunk(9)]}, "nothing after its end"),
    "two choices": ({"chunks": [{"choices": [{"index": 1, "token_ids": [8]}]}]}, "expected one choice"),
    "ids that are none": ({"chunks": [{"choices": [{"token_ids": [8, 1.5, 9]}]}]}, "1.5 as a token id"),
    "text instead": ({"tail": '{"error": "overloaded"}\n\n' + DONE}, "overloaded"),
    "no object": ({"tail": "data: [8, 9]\n\n" + DONE}, "expected an object"),
}


@pytest.mark.parametrize("way", WRONG)
def test_a_stream_that_ends_in_any_wrong_way_is_an_error(way: str) -> None:
    script, (changes, message) = Script(), WRONG[way]
    script.chunks = [chunk(8), chunk(9), chunk(10, finish="length")]
    for name, value in changes.items():
        setattr(script, name, value)
    with serving(script) as url, pytest.raises(EngineError, match=message.replace("[", r"\[")):
        ServerSession(url).decode([PROMPT], REQUEST)


def test_streams_that_end_well_are_taken() -> None:
    script = Script()
    script.tail = ": a comment\n\nevent: end\n\n" + DONE
    with serving(script) as url:
        session = ServerSession(url)
        script.chunks = [chunk(8), chunk(9), chunk(10, finish="length")]
        assert session.decode([PROMPT], REQUEST)[0].finish_reason == "length"
        script.chunks = [chunk(8), chunk(4, finish="stop")]
        assert session.decode([PROMPT], REQUEST)[0].finish_reason == "eos"


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_end_token_at_the_limit_is_an_end(finish: str) -> None:
    assert finish_reason(Answer([[8, 9, 1]], [0.1], finish), 3, 3, ENDS) == "eos"


class Worker:
    """Answers `decode` with one row, as the process does."""

    def __init__(self, **row: Any) -> None:
        self.row = {"steps": [[8], [9], [10]], "at": [0.5, 0.6, 0.7], "finish": "length", "drafts": None} | row

    def ask(self, op: str, **message: Any) -> dict[str, Any]:
        self.asked = message
        return json.loads(json.dumps({"rows": [self.row], "counters": {}}))


@pytest.fixture
def process() -> Callable[..., ProcessSession]:
    def make(**row: Any) -> ProcessSession:
        session = ProcessSession.__new__(ProcessSession)
        session.speculative, session.worker = None, Worker(**row)  # type: ignore[assignment]
        return session

    return make


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"finish": None}, "broke off after 3 tokens"),
        ({"finish": "abort"}, "finish reason 'abort'"),
        ({"finish": "repetition"}, "finish reason 'repetition'"),
        ({"finish": "stop"}, "no end token"),
        ({"new_tokens": 4}, "counted 4 new tokens where there are 3"),
        ({"steps": [], "at": []}, "without a single token"),
        ({"drafts": {"drafted": [1], "accepted": [2]}}, "0 <= accepted <= drafted"),
    ],
)
def test_the_engine_in_a_process_is_held_to_the_same(
    process: Callable[..., ProcessSession], row: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        process(**row).decode([PROMPT], REQUEST)


def test_the_engine_in_a_process_gets_every_setting_as_a_value(process: Callable[..., ProcessSession]) -> None:
    session = process(new_tokens=3)
    assert session.decode([PROMPT], REQUEST)[0].token_ids == [8, 9, 10]
    sampling = session.worker.asked["sampling"]  # type: ignore[attr-defined]
    assert sampling == {
        "temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
        "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("drafted", "accepted"),
    [([3], [3, 1]), ([3], None), ([3, float("nan")], [1, 0]), ([3], [4]), ([3], [-1]), ([True], [0])],
)
def test_counts_per_step_that_cannot_be_are_an_error(drafted: Any, accepted: Any) -> None:
    with pytest.raises(EngineError, match="expected two lists"):
        draft_counts({"drafted": drafted, "accepted": accepted})


def test_a_stream_that_arrives_at_once_has_no_decode_time() -> None:
    script = Script()
    script.chunks = [*(chunk(8) for _ in range(31)), chunk(9, finish="length")]
    with serving(script) as url:
        (generation,) = ServerSession(url).decode([PROMPT], Request(32, ENDS))
    assert generation.taint == "buffered"
