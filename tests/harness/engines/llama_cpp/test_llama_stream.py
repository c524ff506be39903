"""The stream of llama.cpp's server becomes tokens, times and rounds, or an error that says what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.llama_cpp.stream import read_stream
from harness.engines.worker import EngineError


def token(number: int, drafted: int = 0, accepted: int = 0) -> dict[str, Any]:
    timings = {"draft_n": drafted, "draft_n_accepted": accepted} if drafted else {}
    return {"tokens": [number], "content": "x", "stop": False, "timings": timings}


def end(count: int, drafted: int = 0, accepted: int = 0, **changes: Any) -> dict[str, Any]:
    return token(0, drafted, accepted) | {
        "tokens": [], "content": "", "stop": True, "stop_type": "limit", "tokens_predicted": count,
        "tokens_evaluated": 3, **changes,
    }  # fmt: skip


def lines(*events: Any) -> list[str]:
    return [line for event in events for line in (f"data: {json.dumps(event)}", "")]


def test_tokens_of_one_round_share_its_counts() -> None:
    counts = ((0, 0), (4, 1), (4, 1), (8, 1), (8, 1), (9, 2), (9, 2))
    events = [token(7 + place, *counted) for place, counted in enumerate(counts)]
    answer, _ = read_stream(lines(*events, end(7, 9, 2)), 0.0)
    # The second round's drafts were all rejected; the token after it came without drafts.
    assert answer.steps == [[7], [8, 9], [10], [11], [12, 13]]
    assert answer.drafts == {"drafted": [4, 4, 0, 1], "accepted": [1, 0, 0, 1]}
    assert (answer.finish, answer.new_tokens, answer.prompt_tokens) == ("length", 7, 3)
    assert len(answer.at) == len(answer.steps) and answer.at == sorted(answer.at)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted), max_size=20))
def test_any_rounds_are_read_as_they_were_made(made: list[list[int]]) -> None:
    events, drafted, accepted = [token(1)], 0, 0
    for taken, width in made:
        drafted, accepted = drafted + width, accepted + taken
        events += [token(2, drafted, accepted)] * (taken + 1)
    answer, _ = read_stream(lines(*events, end(len(events), drafted, accepted)), 0.0)
    assert answer.drafts == {"drafted": [width for _, width in made], "accepted": [taken for taken, _ in made]}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([token(7)], "broke off after 1 tokens, without its last event"),
        ([], "broke off after 0 tokens"),
        ([token(7), {"error": {"message": "out of memory"}}], "out of memory"),
        ([[7, 8]], "expected an object"),
        ([{"tokens": 7, "stop": False}], "expected a list"),
        ([{"content": "hello", "stop": False}], "does not know return_tokens"),
        ([token(7), end(1, truncated=True)], "ctx_size"),
        ([token(7), token(8, 4, 5)], "counts of drafted and accepted tokens went from"),
        ([token(7), token(8, 4, 1) | {"timings": {"draft_n": "NaN"}}], "expected counts from 0"),
        ([token(7), token(8, 4, 2), token(9, 8, 2)], "lacks 2 of its accepted tokens"),
        ([token(7, 4, 1)], "before the second token"),
        ([token(7), end(1, 4, 1)], "at the end"),
    ],
)  # fmt: skip
def test_a_stream_that_cannot_be_true_is_an_error(events: list[Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        read_stream(lines(*events), 0.0)


@pytest.mark.parametrize(
    ("line", "message"), [("hello", "expected `data"), ("error: no", "failed"), ("data: {", "broke off")]
)
def test_a_line_of_another_kind_is_an_error(line: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        read_stream([line], 0.0)


def test_an_unknown_ending_is_kept_in_the_servers_word() -> None:
    assert read_stream(lines(token(7), end(1, stop_type="word")), 0.0)[0].finish == "word"
    assert read_stream(lines(token(7), end(1, stop_type="eos")), 0.0)[0].finish == "stop"
    assert "without stop_type" in read_stream(lines(token(7), end(1, stop_type=None)), 0.0)[0].finish
