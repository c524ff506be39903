"""One arm of a run in an engine: what every engine session offers, and vLLM in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drafters.base import Sampling
from harness.engines.config import METHODS, EngineConfig
from harness.engines.rounds import from_counters, rounds_of
from harness.engines.worker import WorkerProcess
from harness.preflight import PlannedArm
from harness.records import Generation, Round

#: Positions kept free behind the longest answer and two blocks of drafts; nearer to its end vLLM stops drafting.
MARGIN = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What a group of prompts is asked with."""

    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """The sampling settings under vLLM's names."""
        if self.sampling.temperature == 0:
            return {"temperature": 0.0}
        top_k, top_p = self.sampling.top_k, self.sampling.top_p
        chosen = {"top_k": top_k, "top_p": top_p}
        return {
            "temperature": self.sampling.temperature,
            **{name: value for name, value in chosen.items() if value is not None},
        }

    def seeds(self, count: int) -> list[int] | None:
        return None if self.sampling.temperature == 0 else [self.seed + index for index in range(count)]


class Session(Protocol):
    """An engine that decodes one arm."""

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        """All prompts at once, in order. Raises EngineError."""
        ...

    def scores(self, prompt: Sequence[int]) -> dict[int, float] | None:
        """The highest logits of the token after `prompt`; None where the engine does not tell them."""
        ...

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float] | None:
        """How far each token of `answer` lies below the highest logit before it; None where it is not told."""
        ...

    def describe(self) -> dict[str, Any]:
        """What ran, for the record: versions, settings, counters."""
        ...

    def close(self) -> None: ...


def generation_of(
    prompt: Sequence[int],
    steps: Sequence[Sequence[int]],
    at: Sequence[float],
    finish: str | None,
    drafts: Mapping[str, Sequence[int]] | None,
    counters: Mapping[str, Any] | None,
) -> Generation:
    """A record from the tokens of each step, when each arrived [s after the request], and what was told of drafts.

    `drafts` are per-step counts of this request; `counters` the engine's over this request alone. Without either, or
    where they contradict the tokens, there are no rounds and nothing is made up.
    """
    tokens = [token for step in steps for token in step]
    emitted = [len(step) for step in steps[1:]]
    rounds: list[Round] | None = None
    if drafts is not None:
        rounds = rounds_of(len(prompt), emitted, drafts["drafted"], drafts["accepted"])
    elif counters is not None and not counters.get("num_drafts"):
        rounds = rounds_of(len(prompt), emitted, [], [])
    elif counters is not None and (found := from_counters(emitted, counters)) is not None:
        rounds = rounds_of(len(prompt), emitted, *found)
    return Generation(
        tokens,
        "length" if finish == "length" else "eos",
        rounds or [],
        prefill_s=at[0],
        decode_s=at[-1] - at[0],
        engine_counters=dict(counters) if counters else None,
    )


class ProcessSession:
    """vLLM's `LLM` in its own process, one prompt group at a time."""

    def __init__(self, config: EngineConfig, arguments: dict[str, Any], log: Path) -> None:
        self.arguments = arguments
        self.speculative = arguments.get("speculative_config")
        self.worker = WorkerProcess(config.interpreter(), config.environment, log)
        try:
            self.loaded = self.worker.ask("load", config.start_timeout_s, arguments=arguments)
        except BaseException:
            self.worker.close()
            raise

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        answer = self.worker.ask(
            "decode",
            prompts=list(prompts),
            max_new_tokens=request.max_new_tokens,
            sampling=request.parameters(),
            seeds=request.seeds(len(prompts)),
            eos_token_ids=list(request.eos_token_ids),
        )
        alone = answer["counters"] if len(prompts) == 1 and self.speculative else None
        nothing: dict[str, list[int]] = {"drafted": [], "accepted": []}
        return [
            generation_of(
                prompt,
                row["steps"],
                row["at"],
                row["finish"],
                row["drafts"] if self.speculative else nothing,
                alone,
            )
            for prompt, row in zip(prompts, answer["rows"], strict=True)
        ]

    def scores(self, prompt: Sequence[int]) -> dict[int, float]:
        logits = self.worker.ask("scores", prompt=list(prompt))["logits"]
        return {int(token): float(value) for token, value in logits.items()}

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        told = self.worker.ask("gaps", prompt=[*prompt, *answer], count=len(answer))["gaps"]
        return [float(gap) for gap in told]

    def describe(self) -> dict[str, Any]:
        counters = self.worker.ask("counters")["counters"]
        return {**self.loaded, "arguments": self.arguments, "counters": counters}

    def close(self) -> None:
        self.worker.close()


def arguments_of(
    config: EngineConfig,
    arm: PlannedArm | None,
    name: str,
    target: str,
    dtype: str,
    batch_size: int,
    length: int,
    context: int,
) -> dict[str, Any]:
    """vLLM's `LLM` arguments for an arm (None: the baseline); the config's own options come last and so win.

    `length` is the most tokens that a prompt and its answer take, `context` what the target can hold.
    """
    k = arm.k if arm is not None else 0
    arguments: dict[str, Any] = {
        "model": target,
        "dtype": dtype,
        "max_model_len": min(length + 2 * (k + 1) + MARGIN, context),
        "max_num_seqs": batch_size,
        "tensor_parallel_size": config.tensor_parallel,
        "pipeline_parallel_size": config.pipeline_parallel,
        "enable_prefix_caching": False,  # a repeated prompt must be prefilled again
        "disable_log_stats": False,  # the counters
        "logprobs_mode": "raw_logits",
        "skip_tokenizer_init": True,
        "seed": 0,
    }
    if arm is not None and arm.arm.kind in METHODS:
        arguments["speculative_config"] = speculative_of(config, arm, name)
        arguments["per_request_spec_decode_metrics"] = "detailed"
    return arguments | config.options


def speculative_of(config: EngineConfig, arm: PlannedArm, name: str) -> dict[str, Any]:
    """vLLM's speculative configuration for an arm."""
    chosen: dict[str, Any] = {"method": METHODS[arm.arm.kind], "num_speculative_tokens": arm.k}
    if arm.arm.path is not None:
        chosen["model"] = arm.arm.path
    if arm.arm.kind == "lookup":
        chosen |= {"prompt_lookup_min": 1, "prompt_lookup_max": int(arm.arm.options.get("max_ngram", 3))}
    return chosen | dict(config.speculative.get(config.asked_as(name), {}))
