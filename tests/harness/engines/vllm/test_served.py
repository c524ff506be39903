"""A running server is checked against the run before any prompt is sent."""

from __future__ import annotations

from typing import Any

import pytest

from drafters.errors import InputError
from harness.engines.session import Request
from harness.engines.vllm.served import check_drafting, choose_model
from harness.engines.vllm.server import ServerSession
from harness.engines.worker import EngineError
from tests.helpers.fake_server import PROMPT, Script, chunk, serving, zeros

URL = "http://host:8000"
TWO = {"data": [{"id": "gemma", "root": "/models/31b"}, {"id": "other", "root": "/models/e2b"}]}


def test_of_several_models_the_named_one_or_the_target_is_taken() -> None:
    assert choose_model({"data": [{"id": "m"}]}, None, "somewhere", URL) == "m"
    assert choose_model(TWO, "other", None, URL) == "other"
    assert choose_model(TWO, None, "/models/e2b", URL) == "other"
    assert choose_model(TWO, None, "gemma", URL) == "gemma"


@pytest.mark.parametrize(
    ("page", "wanted", "message"),
    [
        (TWO, None, "engine.model is not set: http://host:8000 serves gemma, other, expected one of these"),
        (TWO, "third", "engine.model=third: http://host:8000 serves gemma, other"),
        ({"data": []}, None, "lists no model"),
        ({"data": [{}]}, None, "lists no model"),
        ({}, None, "lists no model"),
        ([], None, "lists no model"),
    ],
)
def test_models_that_settle_nothing_are_refused(page: Any, wanted: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_model(page, wanted, "/models/other", URL)


@pytest.mark.parametrize(("counters", "k"), [({}, 0), (zeros(3), 3), ({"num_drafts": 0}, 3)])
def test_a_server_that_drafts_what_its_arm_does_is_taken(counters: Any, k: int) -> None:
    check_drafting(counters, k, "mtp", URL)


@pytest.mark.parametrize(
    ("counters", "k", "message"),
    [
        (zeros(3), 0, "speculates, expected a server started without"),
        ({}, 3, "does not speculate"),
        (None, 0, "whether it speculates is unknown"),
        (None, 3, "whether it speculates is unknown"),
        (zeros(3), 4, "drafts 3 tokens a round and the arm 4; expected num_draft_tokens=3"),
    ],
)
def test_a_server_that_drafts_otherwise_is_refused(counters: Any, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_drafting(counters, k, "mtp", URL)


def test_a_server_restarted_between_prompts_is_an_error() -> None:
    script = Script()
    script.counters = zeros()
    script.chunks = [chunk(8), chunk(9, 1, finish="stop")]
    with serving(script) as url:
        session = ServerSession(url)
        request = Request(3, (1,))
        session.decode([PROMPT], request)
        script.counters = zeros()
        with pytest.raises(EngineError, match="num_drafts went from 1 to 0: the server was restarted"):
            session.decode([PROMPT], request)
