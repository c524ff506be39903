"""An already running vLLM server: completions streamed over HTTP, counters from its /metrics page.

The server must return token ids (`return_token_ids`, vLLM's extension of the completions call). Started with
`--per-request-spec-decode-metrics detailed` it tells what each step drafted and accepted, at any concurrency;
otherwise the counters around a request tell it at concurrency 1, as long as nobody else uses the server.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from drafters.errors import InputError
from harness.engines.session import Request, generation_of
from harness.engines.vllm_worker import COUNTERS, difference
from harness.engines.worker import EngineError
from harness.records import Generation

SAMPLE = re.compile(r"^vllm:spec_decode_(?P<name>\w+?)(?:_total)?(?:\{(?P<labels>.*)\})? (?P<value>[0-9.eE+-]+)$")
POSITION = re.compile(r'position="(\d+)"')
TIMEOUT_S = 600.0
#: What a server without these counters drafts: it does not speculate.
NO_DRAFTS: dict[str, list[int]] = {"drafted": [], "accepted": []}


def read_counters(page: str) -> dict[str, Any]:
    """The speculative counters of a /metrics page, summed over engines; the per-position ones as a list."""
    totals: dict[str, Any] = {}
    positions: dict[str, dict[int, int]] = {}
    for line in page.splitlines():
        found = SAMPLE.match(line) if line.startswith(COUNTERS) else None
        if found is None or found["name"].endswith("_created"):
            continue
        name, value = found["name"], int(float(found["value"]))
        place = POSITION.search(found["labels"] or "")
        if place is None:
            totals[name] = totals.get(name, 0) + value
        else:
            known = positions.setdefault(name, {})
            known[int(place[1])] = known.get(int(place[1]), 0) + value
    return totals | {name: [known[place] for place in sorted(known)] for name, known in positions.items()}


def check_url(url: str, key: str) -> None:
    """Raise InputError for what is no address of a server."""
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{key} is {url}: expected http://HOST:PORT")


class ServerSession:
    """Decodes by asking a server. It gives no logits, so a difference cannot be told from a near-tie."""

    def __init__(self, url: str, model: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.parts = urlsplit(self.url)
        served = [entry["id"] for entry in json.loads(self.get("/v1/models"))["data"]]
        self.model = model or served[0]
        self.before = self.counters()

    # -- talking -----------------------------------------------------------------------------------------------------

    def connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(self.parts.hostname), self.parts.port, timeout=TIMEOUT_S)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
        connection = self.connect()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, self.parts.path + path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
        except OSError as error:
            raise EngineError(f"{self.url} does not answer: {error}") from error
        if response.status != 200:
            told = " ".join(response.read(2000).decode("utf-8", "replace").split())
            raise EngineError(f"{self.url}{path} answered {response.status}: {told}")
        return response

    def get(self, path: str) -> str:
        return self.send("GET", path).read().decode("utf-8")

    def counters(self) -> dict[str, Any]:
        return read_counters(self.get("/metrics"))

    # -- decoding ----------------------------------------------------------------------------------------------------

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        seeds = request.seeds(len(prompts))
        before = self.counters()
        with ThreadPoolExecutor(len(prompts)) as pool:
            waiting = [
                pool.submit(self.stream, prompt, request, None if seeds is None else seeds[index])
                for index, prompt in enumerate(prompts)
            ]
            streamed = [one.result() for one in waiting]
        alone = difference(self.counters(), before) if len(prompts) == 1 else None
        return [
            generation_of(prompt, steps, at, finish, drafts if before else NO_DRAFTS, alone)
            for prompt, (steps, at, finish, drafts) in zip(prompts, streamed, strict=True)
        ]

    def stream(
        self, prompt: list[int], request: Request, seed: int | None
    ) -> tuple[list[list[int]], list[float], str | None, dict[str, list[int]] | None]:
        """Steps, their times, why it ended, and per-step counts where the server tells them."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": request.max_new_tokens,
            **request.parameters(),
            **({} if seed is None else {"seed": seed}),
            "ignore_eos": True,
            "stop_token_ids": list(request.eos_token_ids),
            "return_token_ids": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        steps: list[list[int]] = []
        at: list[float] = []
        finish, drafts = None, None
        started = time.perf_counter()
        with self.send("POST", "/v1/completions", body) as response:
            for line in response:
                text = line.decode("utf-8").strip()
                if not text.startswith("data: ") or text == "data: [DONE]":
                    continue
                chunk = json.loads(text.removeprefix("data: "))
                now = time.perf_counter() - started
                if "error" in chunk:
                    raise EngineError(f"{self.url} failed while it answered: {chunk['error']}")
                for choice in chunk.get("choices", []):
                    finish = choice.get("finish_reason") or finish
                    if choice.get("token_ids"):
                        steps.append([int(token) for token in choice["token_ids"]])
                        at.append(now)
                told = (chunk.get("metrics") or {}).get("speculative_decoding") or {}
                if told.get("per_step_accepted") is not None:
                    drafts = {"drafted": told["per_step_drafted"], "accepted": told["per_step_accepted"]}
        if not steps:
            raise EngineError(f"{self.url} returned no token ids: it does not know return_token_ids, or stopped early")
        return steps, at, finish, drafts

    # -- what a server does not tell ---------------------------------------------------------------------------------

    def scores(self, prompt: Sequence[int]) -> None:
        return None

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        try:
            version = json.loads(self.get("/version")).get("version")
        except EngineError:
            version = None
        counters = difference(self.counters(), self.before)
        return {"url": self.url, "model": self.model, "versions": {"vllm": version}, "counters": counters}

    def close(self) -> None:
        """Nothing to end: the server is not ours."""
