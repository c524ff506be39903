"""llama.cpp's server over HTTP: completions streamed token by token, counters from its /metrics page.

A process of our own and a running server are asked in the same way. The rounds of each answer come from the counts in
its stream; they are kept only if, summed over the prompts asked together, they equal the server's own counters, per
position too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from drafters.errors import InputError
from harness.engines.answer import Answer
from harness.engines.client import Client
from harness.engines.counters import LLAMA_CPP, PER_POSITION, counted_between, read_counters
from harness.engines.llama_cpp.stream import read_stream
from harness.engines.session import Request, generation_of
from harness.engines.worker import EngineError, WorkerProcess
from harness.records.rounds import Generation, Round

TYPE_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
#: Candidates with reported log-probabilities; a near-tie is always among them.
NEAR = 20
#: Tokens of the prompt that is asked first, so that a server that drafts does.
PROBE = 6
SEEDS = 2**32 - 1  # the largest seed asks for a random one
#: The values that switch off in llama.cpp what the harness never does. Its samplers run in the order given here.
NEUTRAL = {
    "samplers": ["temperature", "top_k", "top_p"],
    "min_p": 0.0, "typical_p": 1.0, "top_n_sigma": -1.0, "xtc_probability": 0.0, "dynatemp_range": 0.0,
    "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0, "mirostat": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drafting:
    """What the server of one arm is expected to do: draft `k` tokens a round, always so many where `full`.

    `speculates` is llama.cpp's name for its way of drafting, "none" for a baseline. `length` is the most tokens that a
    prompt and its answer take, `dtype` the target's.
    """

    arm: str
    k: int
    full: bool
    speculates: str
    length: int
    dtype: str


def parameters_of(request: Request, seed: int | None) -> dict[str, Any]:
    """The sampling settings under llama.cpp's names, each as a value: it has defaults of its own for omitted ones."""
    chosen, greedy = request.sampling, request.sampling.temperature == 0
    return NEUTRAL | {
        "temperature": float(chosen.temperature),
        "top_k": 0 if greedy or chosen.top_k is None else chosen.top_k,
        "top_p": 1.0 if greedy or chosen.top_p is None else chosen.top_p,
        "seed": (seed or 0) % SEEDS,
    }


class LlamaSession:
    """Decodes by asking the server at `url`; `worker` is our own process, None for a running server.

    Raises EngineError for a server that does not answer, InputError for a running one that does not fit.
    """

    def __init__(
        self,
        url: str,
        drafting: Drafting,
        worker: WorkerProcess | None = None,
        started: Mapping[str, Any] | None = None,
    ) -> None:
        self.client, self.drafting, self.worker, self.started = Client(url), drafting, worker, dict(started or {})
        self.key = f"engine.url of {drafting.arm}" if worker is None else drafting.arm
        self.properties = self.read_properties()
        self.last = self.read_metrics()
        self.check_context()
        self.check_drafting()
        self.before = self.last

    def read_properties(self) -> dict[str, Any]:
        found = self.client.get_json("/props")
        if not isinstance(found, dict):
            raise EngineError(f"{self.client.url}/props answered {found!r:.200}, expected an object")
        return found

    def read_metrics(self) -> dict[str, Any]:
        try:
            counters = read_counters(self.client.get("/metrics"), LLAMA_CPP)
        except EngineError as error:
            if " 501:" not in str(error):
                raise
            counters = None
        if counters is None:
            raise InputError(
                f"{self.key}: {self.client.url}/metrics has none of llama.cpp's metrics, so whether it speculates is "
                "unknown; expected a llama-server started with --metrics"
            )
        return counters

    def check_context(self) -> None:
        """Raise InputError where a slot of the server is too small for a prompt of the run and its answer."""
        settings = self.properties.get("default_generation_settings")
        context = settings.get("n_ctx") if isinstance(settings, dict) else None
        if isinstance(context, int) and context < self.drafting.length:
            raise InputError(
                f"{self.key}: its context holds {context} tokens a slot, and a prompt with its answer takes "
                f"{self.drafting.length}; expected --ctx-size of at least that, times --parallel"
            )

    def check_drafting(self) -> None:
        """Raise InputError where the server drafts in another way than the arm; a first prompt shows it."""
        body = {"prompt": [2], "n_predict": PROBE, "ignore_eos": True, "cache_prompt": False}
        found = self.client.get_json("/completion", body | parameters_of(Request(PROBE, ()), None))
        settings = found.get("generation_settings") if isinstance(found, dict) else None
        self.last = self.read_metrics()
        served = len(self.last.get(PER_POSITION, ()))
        shown = settings.get("speculative.types") if isinstance(settings, dict) else None
        kind, way = self.drafting.speculates, str(shown or ("unknown" if served else "none"))
        if kind == "none" and (way != "none" or served):
            raise InputError(
                f"{self.key}: {self.client.url} speculates ({way}), expected a server started without --spec-type"
            )
        if way not in (kind, "unknown"):
            what = "does not speculate" if way == "none" else f"speculates with {way}"
            raise InputError(f"{self.key}: {self.client.url} {what}, expected one started with --spec-type {kind}")
        if self.drafting.k and served and self.drafting.full and served != self.drafting.k:
            raise InputError(
                f"{self.key}: {self.client.url} drafts {served} tokens a round and the arm {self.drafting.k}; expected "
                f"num_draft_tokens={served}, or a server started with --spec-draft-n-max {self.drafting.k}"
            )

    @property
    def weights(self) -> str | None:
        """llama.cpp's word for the type of its weights where that is not the target's dtype; None where it is."""
        shown = self.properties.get("model_ftype")
        if not isinstance(shown, str) or shown.split()[-1:] == [TYPE_NAMES.get(self.drafting.dtype)]:
            return None
        return shown

    # -- decoding ----------------------------------------------------------------------------------------------------

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        seeds = request.seeds(len(prompts))
        before = self.counters()

        def ask(index: int) -> Answer:
            return self.stream(prompts[index], request, None if seeds is None else seeds[index])

        try:
            if len(prompts) == 1:
                answers = [ask(0)]
            else:
                with ThreadPoolExecutor(len(prompts)) as pool:
                    answers = list(pool.map(ask, range(len(prompts))))
        except EngineError as error:
            raise EngineError(f"{error}{self.last_words()}") from error
        counted = counted_between(self.counters(), before) or {}
        made = [generation_of(prompt, one, request, None) for prompt, one in zip(prompts, answers, strict=True)]
        if not agree([one for generation in made for one in generation.rounds], counted):
            for generation in made:
                generation.rounds = []
        if len(prompts) == 1:
            made[0].engine_counters = counted if counted.get("num_drafts") else None
        self.check_drafts(made, request.max_new_tokens)
        return made

    def stream(self, prompt: list[int], request: Request, seed: int | None) -> Answer:
        """One prompt's answer, as it came."""
        body = {
            "prompt": prompt,
            "n_predict": request.max_new_tokens,
            **parameters_of(request, seed),
            "ignore_eos": not request.eos_token_ids,
            "return_tokens": True,
            "cache_prompt": False,
            "stream": True,
            "timings_per_token": True,
        }
        started = time.perf_counter()
        with self.client.stream("/completion", body) as lines:
            answer, settings = read_stream(lines, started)
        kind = settings.get("speculative.types")
        if kind is not None and kind != self.drafting.speculates:
            raise EngineError(f"{self.client.url} speculates with {kind}, expected {self.drafting.speculates}")
        return answer

    def check_drafts(self, made: Sequence[Generation], most: int) -> None:
        """Raise EngineError for a draft that is shorter than k although more tokens were asked for."""
        if not self.drafting.full:
            return
        for generation in made:
            left = most - 1
            for one in generation.rounds:
                expected = min(self.drafting.k, left - 1)
                if one.drafted < expected:
                    raise EngineError(
                        f"{self.drafting.arm} drafted {one.drafted} tokens where k is {self.drafting.k} and {left} "
                        "tokens were left: the server ends drafts early; expected --spec-draft-p-min 0, or an arm with "
                        "stop=p_min"
                    )
                left -= one.emitted

    def counters(self) -> dict[str, Any]:
        """A new reading. Raises EngineError where the counters went back since the last: the server is another."""
        try:
            found = self.read_metrics()
        except EngineError as error:
            raise EngineError(f"{error}{self.last_words()}") from error
        counted_between(found, self.last)
        self.last = found
        return found

    def last_words(self) -> str:
        """The end of our own process's log."""
        return "" if self.worker is None else self.worker.last_words()

    # -- the judge's questions ---------------------------------------------------------------------------------------

    def scores(self, prompt: Sequence[int]) -> dict[int, float] | None:
        """Log-probabilities, which differ from the logits by one constant: a tie is judged at the scale of 1."""
        body = {
            "prompt": list(prompt), "n_predict": 1, "n_probs": NEAR, "cache_prompt": False, "return_tokens": True,
            **parameters_of(Request(1, ()), None),
        }  # fmt: skip
        found = self.client.get_json("/completion", body)
        try:
            (position,) = found["completion_probabilities"]
            return {int(one["id"]): float(one["logprob"]) for one in position["top_logprobs"]}
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"{self.client.url} gave no log-probabilities ({error!r:.200})") from error

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """One question per token. A token that is not among the reported ones lies no higher than the lowest."""
        gaps = []
        for index, token in enumerate(answer):
            found = self.scores([*prompt, *answer[:index]]) or {}
            gaps.append(max(found.values()) - found.get(token, min(found.values())))
        return gaps

    def describe(self) -> dict[str, Any]:
        known = ("model_path", "model_ftype", "total_slots", "build_info")
        counted = counted_between(self.counters(), self.before)
        properties = {name: self.properties.get(name) for name in known}
        return {**self.started, "url": self.client.url, "properties": properties, "counters": counted}

    def close(self) -> None:
        """End our own process; a running server is not ours."""
        self.client.close()
        if self.worker is not None:
            self.worker.close()


def agree(rounds: Sequence[Round], counted: Mapping[str, Any]) -> bool:
    """Whether the rounds of all answers give the server's counters over the same time."""
    drafting = [one for one in rounds if one.drafted]
    expected = {
        "num_drafts": len(drafting),
        "num_draft_tokens": sum(one.drafted for one in drafting),
        "num_accepted_tokens": sum(one.accepted for one in drafting),
    }
    places = [sum(one.accepted > place for one in drafting) for place in range(len(counted.get(PER_POSITION, ())))]
    return all(counted.get(name, 0) == value for name, value in expected.items()) and (
        places == list(counted.get(PER_POSITION, ()))
    )
