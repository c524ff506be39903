"""An already running vLLM server: completions streamed over HTTP, counters from its /metrics page.

The server must return token ids (`return_token_ids`, vLLM's extension of the completions call). Started with
`--per-request-spec-decode-metrics detailed` it reports drafted and accepted tokens of each step at any concurrency;
otherwise they follow from the counters around a request, at concurrency 1 on a server without other clients.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.engines.answer import Answer
from harness.engines.client import Client
from harness.engines.counters import counted_between, read_counters
from harness.engines.session import Request, generation_of
from harness.engines.vllm.process import parameters_of
from harness.engines.vllm.served import check_drafting, choose_model
from harness.engines.vllm.stream import read_stream
from harness.engines.worker import EngineError
from harness.records.rounds import Generation


class ServerSession:
    """Decodes by asking a server. It gives no logits, so a near-tie looks like any other difference.

    `model` is the name to ask for, `target` the checkpoint that chooses among several models. With `k`, the server
    must draft that many tokens a round as `arm`, none for 0. Raises EngineError for a server that does not answer, and
    InputError for one that does not fit.
    """

    weights: str | None = None  # the target's own

    def __init__(
        self, url: str, model: str | None = None, *, target: str | None = None, arm: str = "", k: int | None = None
    ) -> None:
        self.client = Client(url)
        self.url = self.client.url
        self.model = choose_model(self.client.get_json("/v1/models"), model, target, self.url)
        self.before = self.last = read_counters(self.client.get("/metrics"))
        if k is not None:
            check_drafting(self.before, k, arm, self.url)

    def counters(self) -> dict[str, Any] | None:
        """A new reading. Raises EngineError where the counters went back since the last: the server is another."""
        found = read_counters(self.client.get("/metrics"))
        counted_between(found, self.last)
        self.last = found
        return found

    # -- decoding ----------------------------------------------------------------------------------------------------

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        seeds = request.seeds(len(prompts))
        before = self.counters()
        with ThreadPoolExecutor(len(prompts)) as pool:
            waiting = [
                pool.submit(self.stream, prompt, request, None if seeds is None else seeds[index])
                for index, prompt in enumerate(prompts)
            ]
            answers = [one.result() for one in waiting]
        # At higher concurrency the counts belong to no single request, but that a server drafts nothing holds for all.
        alone = counted_between(self.counters(), before) if len(prompts) == 1 or before == {} else None
        return [generation_of(prompt, one, request, alone) for prompt, one in zip(prompts, answers, strict=True)]

    def stream(self, prompt: list[int], request: Request, seed: int | None) -> Answer:
        """One prompt's answer, as it came."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": request.max_new_tokens,
            **parameters_of(request),
            **({} if seed is None else {"seed": seed}),
            "ignore_eos": True,
            "stop_token_ids": list(request.eos_token_ids),
            "return_token_ids": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        started = time.perf_counter()
        with self.client.stream("/v1/completions", body) as lines:
            try:
                answer = read_stream(lines, started)
            except EngineError as error:
                raise EngineError(f"{self.url}: {error}") from error
        if answer.finish is not None and not answer.steps:
            raise EngineError(f"{self.url} returned no token ids: it does not know return_token_ids")
        return answer

    # -- what a server does not report -------------------------------------------------------------------------------

    def scores(self, prompt: Sequence[int]) -> None:
        return None

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        try:
            version = self.client.get_json("/version").get("version")
        except (EngineError, AttributeError):
            version = None
        counters = counted_between(self.counters(), self.before)
        return {"url": self.url, "model": self.model, "versions": {"vllm": version}, "counters": counters}

    def close(self) -> None:
        """End the connections; the server is not ours."""
        self.client.close()
