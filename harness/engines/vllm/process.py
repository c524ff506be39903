"""vLLM's `LLM` in a process of its own, and the arguments that it gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import EngineConfig, RunConfig
from harness.engines.answer import Answer
from harness.engines.contract import Asked
from harness.engines.session import Request, generation_of
from harness.engines.worker import EngineError, WorkerProcess
from harness.records.rounds import Generation
from harness.vocabulary import ENGINE_TITLES, VLLM

SCRIPT = Path(__file__).with_name("script.py")
#: vLLM's settings of a process that is not asked for any.
QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
#: Positions kept free behind the longest answer and two blocks of drafts; nearer to its end vLLM stops drafting.
MARGIN = 2
#: The values that switch off in vLLM what the harness never does.
NEUTRAL = {"min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def parameters_of(request: Request) -> dict[str, Any]:
    """The sampling settings under vLLM's names, each as a value.

    A server takes omitted settings from the model's generation config, penalties at temperature 0 as well.
    """
    chosen, greedy = request.sampling, request.sampling.temperature == 0
    return NEUTRAL | {
        "temperature": float(chosen.temperature),
        "top_k": 0 if greedy or chosen.top_k is None else chosen.top_k,
        "top_p": 1.0 if greedy or chosen.top_p is None else chosen.top_p,
    }


class ProcessSession:
    """vLLM's `LLM` in its own process, one prompt group at a time."""

    weights: str | None = None  # the target's own

    def __init__(self, config: EngineConfig, arguments: dict[str, Any], log: Path) -> None:
        self.arguments = arguments
        self.speculative = arguments.get("speculative_config")
        environment = QUIET | config.environment
        self.worker = WorkerProcess(config.interpreter(), SCRIPT, environment, log, ENGINE_TITLES[VLLM])
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
            sampling=parameters_of(request),
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
        return [generation_of(prompt, one, request, counters) for prompt, one in zip(prompts, answers, strict=True)]

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


def arguments_of(config: RunConfig, asked: Asked) -> dict[str, Any]:
    """vLLM's `LLM` arguments for an arm; the config's own options come last and so win."""
    engine = config.engine
    arguments: dict[str, Any] = {
        "model": str(config.target.path),
        "dtype": asked.dtype,
        "max_model_len": min(asked.length + 2 * (asked.k + 1) + MARGIN, asked.context),
        "max_num_seqs": config.batch_size,
        "tensor_parallel_size": engine.tensor_parallel,
        "pipeline_parallel_size": engine.pipeline_parallel,
        "enable_prefix_caching": False,  # a repeated prompt must be prefilled again
        "disable_log_stats": False,  # the counters
        "generation_config": "vllm",  # the checkpoint's own would fill in sampling settings and limits
        "logprobs_mode": "raw_logits",
        "skip_tokenizer_init": True,
        "seed": 0,
    }
    method = asked.method(VLLM)
    if asked.planned is not None and method is not None:
        arm = asked.planned.arm
        chosen: dict[str, Any] = {"method": method.name, "num_speculative_tokens": asked.k}
        if arm.path is not None:
            chosen["model"] = arm.path
        if method.name == "ngram":
            chosen |= {"prompt_lookup_min": 1, "prompt_lookup_max": int(arm.options.get("max_ngram", 3))}
        arguments["speculative_config"] = chosen | dict(engine.speculative.get(engine.asked_as(asked.name), {}))
        arguments["per_request_spec_decode_metrics"] = "detailed"
    return arguments | engine.options
