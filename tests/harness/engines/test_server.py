"""A server's pages and streams, read from a small server of the test's own on the loopback address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from drafters.base import Sampling
from drafters.errors import InputError
from harness.engines.server import ServerSession, check_url, read_counters
from harness.engines.session import Request
from harness.engines.worker import EngineError

PAGE = """# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 7.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="m"} 1.0
vllm:spec_decode_num_drafts_created{engine="0",model_name="m"} 1.79e+09
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="1"} 2.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="0"} 5.0
vllm:request_success_total{engine="0"} 3.0
"""
PROMPT = [5, 6, 7]
GREEDY = Request(9, (1,))


def test_counters_are_summed_over_engines_and_positions_stand_in_order() -> None:
    assert read_counters(PAGE) == {"num_drafts": 8, "num_accepted_tokens_per_pos": [5, 2]}
    assert read_counters("") == {}


def test_an_address_without_a_host_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"engine\.url of mtp is localhost:8000: expected http"):
        check_url("localhost:8000", "engine.url of mtp")


class Script:
    """What the small server says: stream chunks, and the counters after each request."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, Any]] = []
        self.counters: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []

    def page(self) -> str:
        lines = []
        for name, value in self.counters.items():
            for place, one in enumerate(value) if isinstance(value, list) else [(None, value)]:
                label = "" if place is None else f',position="{place}"'
                lines.append(f'vllm:spec_decode_{name}_total{{engine="0"{label}}} {float(one)}')
        return "\n".join(lines)

    def finish(self) -> None:
        """Count the streamed answer: each step but the first drafted three tokens."""
        if not self.counters:
            return
        sizes = [len(chunk["choices"][0]["token_ids"]) for chunk in self.chunks if chunk.get("choices")][1:]
        self.counters["num_drafts"] += len(sizes)
        self.counters["num_draft_tokens"] += 3 * len(sizes)
        self.counters["num_accepted_tokens"] += sum(size - 1 for size in sizes)
        for place in range(3):
            self.counters["num_accepted_tokens_per_pos"][place] += sum(size > place + 1 for size in sizes)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, text: str, status: int = 200) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            pages = {"/v1/models": '{"data": [{"id": "m"}]}', "/version": '{"version": "0"}', "/metrics": script.page()}
            self.answer(pages.get(self.path, "no such page"), 200 if self.path in pages else 404)

        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.finish()
            self.answer("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in script.chunks) + "data: [DONE]\n\n")

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def chunk(*tokens: int, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"token_ids": list(tokens), "finish_reason": finish}]}


def zeros() -> dict[str, Any]:
    return {
        "num_drafts": 0,
        "num_draft_tokens": 0,
        "num_accepted_tokens": 0,
        "num_accepted_tokens_per_pos": [0, 0, 0],
    }


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


def test_at_higher_concurrency_the_counters_belong_to_nobody(script: Script, url: str) -> None:
    script.counters = zeros()
    script.chunks = [chunk(8), chunk(9, 10, finish="length")]
    both = ServerSession(url).decode([PROMPT, PROMPT], GREEDY)
    assert [one.token_ids for one in both] == [[8, 9, 10]] * 2
    assert [one.rounds for one in both] == [[], []]
    assert [one.engine_counters for one in both] == [None, None]


def test_what_the_server_tells_per_step_holds_at_any_concurrency(script: Script, url: str) -> None:
    script.counters = zeros()
    told = {"speculative_decoding": {"per_step_drafted": [3], "per_step_accepted": [2]}}
    script.chunks = [chunk(8), chunk(9, 1, finish="stop"), {"choices": [], "metrics": told}]
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
    session.decode([PROMPT], Request(9, (1, 4), Sampling(0.5, 20, 0.9), seed=3))
    (asked,) = script.asked
    assert asked["prompt"] == PROMPT and asked["model"] == "m"
    assert asked["return_token_ids"] is True and asked["ignore_eos"] is True and asked["stop_token_ids"] == [1, 4]
    assert (asked["temperature"], asked["top_k"], asked["top_p"], asked["seed"]) == (0.5, 20, 0.9, 3)
    session.decode([PROMPT], GREEDY)
    assert script.asked[1]["temperature"] == 0.0 and "seed" not in script.asked[1]


def test_a_server_that_returns_text_only_is_an_error_that_says_so(script: Script, url: str) -> None:
    script.chunks = [{"choices": [{"text": "hello", "finish_reason": "length"}]}]
    with pytest.raises(EngineError, match="return_token_ids"):
        ServerSession(url).decode([PROMPT], GREEDY)


def test_a_server_that_is_not_there_is_an_error_with_its_address() -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9 does not answer"):
        ServerSession("http://127.0.0.1:9")
