"""One arm of a run in an engine: what every engine session offers, and vLLM in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drafters.base import Sampling
from drafters.registry import VllmMethod, kind_of
from harness.comparison.plan import PlannedArm
from harness.config import EngineConfig
from harness.engines.answer import Answer, draft_counts, finish_reason
from harness.engines.rounds import from_counters, rounds_of
from harness.engines.worker import EngineError, WorkerProcess
from harness.records.rounds import Generation, Round
from harness.records.taints import of_arrivals

#: Positions kept free behind the longest answer and two blocks of drafts; nearer to its end vLLM stops drafting.
MARGIN = 2
#: The values that switch off in vLLM what the harness never does.
NEUTRAL = {"min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


@dataclass(frozen=True, slots=True)
class Request:
    """The settings with which a group of prompts is asked."""

    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """The sampling settings under vLLM's names, each as a value.

        A server takes omitted settings from the model's generation config, penalties at temperature 0 as well.
        """
        chosen, greedy = self.sampling, self.sampling.temperature == 0
        return NEUTRAL | {
            "temperature": float(chosen.temperature),
            "top_k": 0 if greedy or chosen.top_k is None else chosen.top_k,
            "top_p": 1.0 if greedy or chosen.top_p is None else chosen.top_p,
        }

    def seeds(self, count: int) -> list[int] | None:
        return None if self.sampling.temperature == 0 else [self.seed + index for index in range(count)]


class Session(Protocol):
    """An engine that decodes one arm."""

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        """All prompts at once, in order. Raises EngineError."""
        ...

    def scores(self, prompt: Sequence[int]) -> dict[int, float] | None:
        """The highest logits of the token after `prompt`; None if the engine does not report them."""
        ...

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float] | None:
        """Distance of each token of `answer` below the highest logit; None if the engine does not report it."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions, settings and counters, for the record."""
        ...

    def close(self) -> None: ...


def generation_of(
    prompt: Sequence[int], answer: Answer, request: Request, counters: Mapping[str, Any] | None
) -> Generation:
    """A record from an engine's answer. Raises EngineError for one that is not whole (see `harness.engines.answer`).

    `counters` are the engine's own over this request alone. The record has no rounds if the engine reports neither
    drafts per step nor counters, or if they contradict the tokens.
    """
    reason = finish_reason(answer, len(prompt), request.max_new_tokens, request.eos_token_ids)
    emitted = [len(step) for step in answer.steps[1:]]
    rounds: list[Round] | None = None
    if answer.drafts is not None:
        rounds = rounds_of(len(prompt), emitted, *draft_counts(answer.drafts))
    elif counters is not None and (counters == {} or counters.get("num_drafts") == 0):
        rounds = rounds_of(len(prompt), emitted, [], [])
    elif counters is not None and (found := from_counters(emitted, counters)) is not None:
        rounds = rounds_of(len(prompt), emitted, *found)
    return Generation(
        answer.tokens,
        reason,
        rounds or [],
        prefill_s=answer.at[0],
        decode_s=answer.at[-1] - answer.at[0],
        engine_counters=dict(counters) if counters else None,
        taint=of_arrivals(answer.at),
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
        rows = answer["rows"]
        if len(rows) != len(prompts):
            raise EngineError(f"vLLM answered {len(rows)} of {len(prompts)} prompts")
        # Without a drafter nothing is drafted, even if the engine counts something.
        counters = (answer["counters"] if len(prompts) == 1 else None) if self.speculative else {}
        answers = [
            Answer(row["steps"], row["at"], row["finish"], new_tokens=row.get("new_tokens"), drafts=row["drafts"])
            for row in rows
        ]
        return [
            generation_of(prompt, one, request, counters) for prompt, one in zip(prompts, answers, strict=True)
        ]

    def scores(self, prompt: Sequence[int]) -> dict[int, float]:
        logits = self.worker.ask("scores", prompt=list(prompt))["logits"]
        return {int(token): float(value) for token, value in logits.items()}

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        gaps = self.worker.ask("gaps", prompt=[*prompt, *answer], count=len(answer))["gaps"]
        if len(gaps) != len(answer):
            raise EngineError(f"vLLM judged {len(gaps)} of {len(answer)} tokens")
        return [float(gap) for gap in gaps]

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
        "generation_config": "vllm",  # the checkpoint's own would fill in sampling settings and limits
        "logprobs_mode": "raw_logits",
        "skip_tokenizer_init": True,
        "seed": 0,
    }
    method = kind_of(arm.arm.kind).vllm if arm is not None else None
    if arm is not None and method is not None:
        arguments["speculative_config"] = speculative_of(config, arm, method, name)
        arguments["per_request_spec_decode_metrics"] = "detailed"
    return arguments | config.options


def speculative_of(config: EngineConfig, arm: PlannedArm, method: VllmMethod, name: str) -> dict[str, Any]:
    """vLLM's speculative configuration for an arm."""
    chosen: dict[str, Any] = {"method": method.name, "num_speculative_tokens": arm.k}
    if arm.arm.path is not None:
        chosen["model"] = arm.arm.path
    if method.name == "ngram":
        chosen |= {"prompt_lookup_min": 1, "prompt_lookup_max": int(arm.arm.options.get("max_ngram", 3))}
    return chosen | dict(config.speculative.get(config.asked_as(name), {}))
