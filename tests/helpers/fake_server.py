"""A server on the loopback address that speaks vLLM's completions call, and can end a stream in every wrong way."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DONE = "data: [DONE]\n\n"
PROMPT = [5, 6, 7]


def chunk(*tokens: int, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "token_ids": list(tokens), "finish_reason": finish}]}


def zeros(k: int = 3) -> dict[str, Any]:
    names = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
    return dict.fromkeys(names, 0) | {"num_accepted_tokens_per_pos": [0] * k}


class Script:
    """The server's answers: stream chunks, their end, and the counters after each request.

    `usage` None counts what was streamed. `broken` closes the connection amid a chunked body. `acts` are changes, one
    per request, to a script that is as it was for the others.
    """

    def __init__(self) -> None:
        self.chunks: list[dict[str, Any]] = []
        self.usage: dict[str, Any] | None = None
        self.tail = DONE
        self.broken = False
        self.models = [{"id": "m"}]
        self.counters: dict[str, Any] = {}
        self.page_before = "vllm:request_success_total 3.0"
        self.asked: list[dict[str, Any]] = []
        self.acts: list[dict[str, Any]] = []

    def act(self) -> Script:
        """The script for the request that has just been asked."""
        place = len(self.asked) - 1
        played = copy.copy(self)
        vars(played).update(self.acts[place] if place < len(self.acts) else {})
        return played

    def page(self) -> str:
        lines = [self.page_before]
        for name, value in self.counters.items():
            for place, one in enumerate(value) if isinstance(value, list) else [(None, value)]:
                label = "" if place is None else f',position="{place}"'
                lines.append(f'vllm:spec_decode_{name}_total{{engine="0"{label}}} {float(one)}')
        return "\n".join(lines)

    def body(self) -> str:
        sizes = [len(choice.get("token_ids", ())) for one in self.chunks for choice in one.get("choices", ())]
        counted = {"prompt_tokens": len(self.asked[-1]["prompt"]), "completion_tokens": sum(sizes)}
        usage = counted if self.usage is None else self.usage
        sent = [*self.chunks, {"choices": [], "usage": usage}]
        return "".join(f"data: {json.dumps(one)}\n\n" for one in sent) + self.tail

    def finish(self) -> None:
        """Count the streamed answer: each step but the first drafted three tokens."""
        if not self.counters:
            return
        sizes = [len(one["choices"][0]["token_ids"]) for one in self.chunks if one.get("choices")][1:]
        self.counters["num_drafts"] += len(sizes)
        self.counters["num_draft_tokens"] += 3 * len(sizes)
        self.counters["num_accepted_tokens"] += sum(size - 1 for size in sizes)
        for place in range(3):
            self.counters["num_accepted_tokens_per_pos"][place] += sum(size > place + 1 for size in sizes)


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address of a server that follows `script`."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, text: str, status: int = 200) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def break_off(self, text: str) -> None:
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(text):x}\r\n{text[: len(text) // 2]}".encode())
            self.close_connection = True

        def do_GET(self) -> None:
            pages = {
                "/v1/models": json.dumps({"data": script.models}),
                "/version": '{"version": "0"}',
                "/metrics": script.page(),
            }
            self.answer(pages.get(self.path, "no such page"), 200 if self.path in pages else 404)

        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            played = script.act()
            played.finish()
            (self.break_off if played.broken else self.answer)(played.body())

        def log_message(self, *args: Any) -> None: ...

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield f"{address}/v1"


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of `server`, which answers in a thread of its own until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
