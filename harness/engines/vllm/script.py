"""vLLM in a process of its own, behind the messages of `harness/engines/messages.py`.

vLLM pins other versions of transformers than the harness does, so this file runs in vLLM's environment and imports
nothing of the harness. One process holds one `LLM`; ending the process is what frees its memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

NEAR = 20  # candidates with reported logits; a near-tie is always among them
COUNTERS = "vllm:spec_decode_"


class Worker:
    """Answers one message at a time."""

    def __init__(self) -> None:
        self.llm: Any = None
        self.asked = 0

    def load(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Build the engine from `LLM` arguments."""
        import torch
        import transformers
        import vllm

        started = time.perf_counter()
        self.llm = vllm.LLM(**arguments)
        modules = {"vllm": vllm, "torch": torch, "transformers": transformers}
        versions = {name: module.__version__ for name, module in modules.items()}
        return {"versions": versions, "load_s": time.perf_counter() - started}

    def decode(
        self,
        prompts: list[list[int]],
        max_new_tokens: int,
        sampling: dict[str, Any],
        seeds: list[int] | None,
        eos_token_ids: list[int],
    ) -> dict[str, Any]:
        """Decode all prompts at once; gives each prompt's steps (tokens, seconds since the call) and draft counts."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = [
            SamplingParams(
                **sampling,
                seed=None if seeds is None else seeds[index],
                max_tokens=max_new_tokens,
                ignore_eos=True,  # the caller's list is the whole list
                stop_token_ids=eos_token_ids,
                detokenize=False,
                output_kind=RequestOutputKind.DELTA,
            )
            for index in range(len(prompts))
        ]
        before = self.counters()
        started = time.perf_counter()
        order = [self.add(prompt, one) for prompt, one in zip(prompts, params, strict=True)]
        rows: dict[str, dict[str, Any]] = {
            name: {"steps": [], "at": [], "finish": None, "new_tokens": None, "drafts": None} for name in order
        }
        engine = self.llm.llm_engine
        while engine.has_unfinished_requests():
            outputs = engine.step()
            now = time.perf_counter() - started
            for output in outputs:
                self.take(rows[output.request_id], output.outputs[0], now)
                # vLLM's own count, where this version keeps one; it is never 0 once a token is there.
                counted = getattr(output.metrics, "num_generation_tokens", None)
                rows[output.request_id]["new_tokens"] = counted or None
        after = self.counters()
        return {"rows": [rows[name] for name in order], "counters": difference(after, before)}

    @staticmethod
    def take(row: dict[str, Any], part: Any, now: float) -> None:
        if len(part.token_ids):
            row["steps"].append(list(part.token_ids))
            row["at"].append(now)
        if part.finish_reason is not None:
            row["finish"] = part.finish_reason
        drafts = part.spec_decode_metrics
        if drafts is not None:
            row["drafts"] = {"drafted": list(drafts.per_step_drafted), "accepted": list(drafts.per_step_accepted)}

    def add(self, prompt: list[int], params: Any) -> str:
        from vllm import TokensPrompt

        name = str(self.asked)
        self.asked += 1
        self.llm.llm_engine.add_request(name, TokensPrompt(prompt_token_ids=prompt), params)
        return name

    def scores(self, prompt: list[int]) -> dict[str, Any]:
        """The highest logits of the token after `prompt`."""
        found = self.one(prompt, logprobs=NEAR).outputs[0].logprobs[0]
        return {"logits": {str(token): entry.logprob for token, entry in found.items()}}

    def gaps(self, prompt: list[int], count: int) -> dict[str, Any]:
        """Distance of each of the last `count` tokens of `prompt` below the highest logit on its own prefix."""
        found = self.one(prompt, prompt_logprobs=1).prompt_logprobs[-count:]
        highest = [max(entry.logprob for entry in position.values()) for position in found]
        own = [position[token].logprob for position, token in zip(found, prompt[-count:], strict=True)]
        return {"gaps": [top - mine for top, mine in zip(highest, own, strict=True)]}

    def one(self, prompt: list[int], **wanted: int) -> Any:
        from vllm import SamplingParams, TokensPrompt

        params = SamplingParams(temperature=0.0, max_tokens=1, detokenize=False, **wanted)
        return self.llm.generate(TokensPrompt(prompt_token_ids=prompt), params, use_tqdm=False)[0]

    def counters(self) -> dict[str, Any]:
        """vLLM's speculative counters, summed over engines, under the names that /metrics has without their prefix."""
        totals: dict[str, Any] = {}
        for metric in self.llm.get_metrics():
            if not metric.name.startswith(COUNTERS):
                continue
            name = metric.name.removeprefix(COUNTERS)
            if hasattr(metric, "values"):
                known = totals.get(name, [0] * len(metric.values))
                totals[name] = [a + b for a, b in zip(known, metric.values, strict=True)]
            elif hasattr(metric, "value"):
                totals[name] = totals.get(name, 0) + metric.value
        return totals


def difference(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Counts between two readings. Raises ValueError for counters that vanished or went back."""
    found: dict[str, Any] = {}
    for name in {**before, **after}:
        value, earlier = after.get(name), before.get(name, 0)
        values = value if isinstance(value, list) else [value]
        # A counter may appear with its first count, as in a new engine process.
        befores = earlier if isinstance(earlier, list) else [earlier] * len(values)
        if value is None or len(values) != len(befores) or any(a < b for a, b in zip(values, befores, strict=True)):
            raise ValueError(f"counter {name} went from {earlier} to {value}")
        steps = [a - b for a, b in zip(values, befores, strict=True)]
        found[name] = steps if isinstance(value, list) else steps[0]
    return found


def messages() -> dict[str, Callable[..., dict[str, Any]]]:
    """The functions behind each message."""
    worker = Worker()
    return {
        "load": worker.load,
        "decode": worker.decode,
        "scores": worker.scores,
        "gaps": worker.gaps,
        "counters": lambda: {"counters": worker.counters()},
    }
