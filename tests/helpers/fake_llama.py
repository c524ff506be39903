"""A llama-server without a model: it counts upwards and accepts a fixed pattern, over HTTP on the loopback address.

Run as a program it takes llama-server's options. FAKE_LLAMA in the environment chooses a fault: `refuse` ends at once,
`die` ends amid an answer, `lossy` lets a drafting server emit other tokens than the baseline, `short` drafts less than
it is asked to, `miscount` counts a draft too many on its page, `restart` starts its counters anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCEPTED = (2, 0, 1)
FIRST, LAST = 10, 90


class FakeLlama:
    """What a server of so many drafts a round answers; `kind` is its way of drafting, "none" for a baseline."""

    def __init__(
        self, k: int = 0, kind: str = "none", fault: str = "", context: int = 4096, ftype: str = "all F32"
    ) -> None:
        self.k, self.kind, self.fault, self.context, self.ftype = k, kind, fault, context, ftype
        self.asked: list[dict[str, Any]] = []
        self.drafts = [0, 0, 0]
        self.places = [0] * k
        self.cut = 0  # events left out at the end of the next answers

    def rounds(self, tokens: int) -> Iterator[tuple[int, int]]:
        """Drafted and accepted tokens of each round of an answer of so many tokens."""
        left, place = tokens - 1, 0
        while left > 0:
            drafted = min(self.k - (1 if self.fault == "short" else 0), left - 1) if self.k else 0
            accepted = min(ACCEPTED[place % len(ACCEPTED)], drafted)
            yield drafted, accepted
            left -= accepted + 1
            place += 1

    def events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.asked.append(body)
        start, count = sum(body["prompt"]) % (LAST - FIRST), body["n_predict"]
        tokens = [FIRST + (start + index) % (LAST - FIRST) for index in range(count)]
        if self.fault == "lossy" and self.k:
            tokens[3:] = [token + 1 for token in tokens[3:]]
        yield {"tokens": tokens[:1], "content": "a", "stop": False, "timings": {"predicted_n": 1}}
        rest, counts = tokens[1:], [0, 0]
        for drafted, accepted in self.rounds(count):
            counts = [counts[0] + drafted, counts[1] + accepted]
            self.drafts = [self.drafts[0] + bool(drafted), self.drafts[1] + drafted, self.drafts[2] + accepted]
            self.places = [value + (accepted > place) for place, value in enumerate(self.places)]
            for _ in range(accepted + 1):
                yield {"tokens": [rest.pop(0)], "content": "a", "stop": False, "timings": self.timings(counts)}
        if self.fault == "miscount":
            self.drafts[0] += 1
        if self.fault == "restart":
            self.drafts, self.places = [0, 0, 0], [0] * self.k
        yield {
            "tokens": [], "content": "", "stop": True, "stop_type": "limit", "tokens_predicted": count,
            "tokens_evaluated": len(body["prompt"]), "timings": self.timings(counts),
            "generation_settings": {"speculative.types": self.kind}, "truncated": False,
        }  # fmt: skip

    def timings(self, counts: list[int]) -> dict[str, int]:
        return {"draft_n": counts[0], "draft_n_accepted": counts[1]} if counts[0] else {}

    def page(self) -> str:
        names = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
        lines = ["llamacpp:prompt_tokens_total 3"]
        lines += [f"llamacpp:spec_decode_{name}_total {value}" for name, value in zip(names, self.drafts, strict=True)]
        if self.drafts[0]:
            lines += [
                f'llamacpp:spec_decode_num_accepted_tokens_per_pos_total{{position="{place}"}} {value}'
                for place, value in enumerate(self.places)
            ]
        return "\n".join(lines)

    def properties(self) -> dict[str, Any]:
        settings = {"n_ctx": self.context, "params": {}}
        return {"default_generation_settings": settings, "model_ftype": self.ftype, "total_slots": 1}


def server_of(fake: FakeLlama, port: int = 0) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, text: str) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            pages = {
                "/health": '{"status": "ok"}', "/props": json.dumps(fake.properties()), "/metrics": fake.page(),
            }  # fmt: skip
            self.answer(pages[self.path])

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            events = list(fake.events(body))
            if not body.get("stream"):
                self.answer(json.dumps(events[-1]))
                return
            sent = "".join(f"data: {json.dumps(event)}\n\n" for event in events[: len(events) - fake.cut])
            if fake.fault == "die":
                self.answer(sent[: len(sent) // 2])
                print("out of memory, says the fake", file=sys.stderr, flush=True)
                os._exit(9)
            self.answer(sent)

        def log_message(self, *args: Any) -> None: ...

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main(arguments: list[str]) -> None:
    def of(name: str, default: str) -> str:
        return arguments[arguments.index(name) + 1] if name in arguments else default

    fault = os.environ.get("FAKE_LLAMA", "")
    if fault == "refuse":
        print("no such model, says the fake", file=sys.stderr, flush=True)
        sys.exit(3)
    kind = of("--spec-type", "none")
    k = int(of("--spec-draft-n-max", of("--spec-ngram-simple-size-m", "0")))
    server_of(FakeLlama(k, kind, fault), int(of("--port", "0"))).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
