"""Data regeneration: the target answers every prompt, greedily or sampled, and drafters learn from its answers.

Finished answers are appended to a JSONL file, so that a stopped run can be continued.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.config.checks import LARGEST_SEED, check_seed, count, is_temperature
from harness.decoding.api import generate
from harness.records.progress import RunProgress
from harness.target.target import Target
from harness.tasks.chat import templated
from harness.tasks.prompts import read_jsonl
from harness.training.corpus import Chat, stream
from harness.training.data import Sequence


@dataclass
class AnswerSettings:
    """The prompts to answer, and the sampling. `path` names a JSONL prompt file; null draws from the corpus."""

    path: str | None = None
    count: int = 6000
    max_new_tokens: int = 320
    max_prompt_tokens: int = 512
    batch_size: int = 64
    chunk: int = 500  # prompts between writes; each chunk has one temperature
    temperatures: tuple[float, ...] = (0.0, 0.0, 1.0)  # taken in turn, chunk by chunk
    thinking: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for key in ("count", "batch_size", "chunk", "max_new_tokens", "max_prompt_tokens"):
            count(getattr(self, key), f"answers.{key}")
        check_seed(self.seed, "answers.seed")
        if not self.temperatures or not all(map(is_temperature, self.temperatures)):
            raise InputError(f"answers.temperatures is {self.temperatures}: expected one or more values from 0 up")


def render(tokenizer: Any, messages: list[dict[str, str]], thinking: bool) -> list[int]:
    """Token ids of a conversation that waits for the model's turn."""
    return list(tokenizer(templated(tokenizer, messages, thinking), add_special_tokens=False)["input_ids"])


def prompts_of(tokenizer: Any, settings: AnswerSettings) -> list[list[int]]:
    """Prompt token ids: the corpus's own training prompts, or every first turn of a prompt file."""
    if settings.path is None:
        chats: list[Chat] = list(islice(stream(settings.seed + 7_000_000), settings.count))
        prompts = [render(tokenizer, chat.prompt_messages, chat.thinking) for chat in chats]
    else:
        chosen = read_jsonl(Path(settings.path))[: settings.count]
        prompts = [render(tokenizer, prompt.messages(), settings.thinking) for prompt in chosen]
    return [p for p in prompts if len(p) <= settings.max_prompt_tokens]


def answer(
    target: Target, prompts: list[list[int]], max_new_tokens: int, temperature: float, seed: int, batch_size: int
) -> list[list[int]]:
    """One answer per prompt, its stop token included, from the harness's own loop; temperature 0 is greedy.

    Raises InputError for a target without end tokens.
    """
    if not target.eos_token_ids:
        raise InputError("the target's generation config has no eos_token_id: answers would never end (source.path)")
    generations = generate(
        target, None, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed,
        eos_token_ids=target.eos_token_ids, batch_size=batch_size,
    )  # fmt: skip
    return [g.token_ids for g in generations]


def regenerate(target: Target, tokenizer: Any, settings: AnswerSettings, path: Path) -> list[Sequence]:
    """The target's answers to all prompts, including those that `path` already holds."""
    prompts = prompts_of(tokenizer, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    with path.open("a", encoding="utf-8") as file, RunProgress(len(prompts), unit="answers") as progress:
        progress.skip(len(done))
        while len(done) < len(prompts):
            start = len(done)
            # One temperature per chunk and always the same chunks: a continued run draws the same answers.
            chunk = start // settings.chunk
            rows = prompts[start : (chunk + 1) * settings.chunk]
            temperature = settings.temperatures[chunk % len(settings.temperatures)]
            seed = (settings.seed * 1_000_003 + start) & LARGEST_SEED
            answers = answer(target, rows, settings.max_new_tokens, temperature, seed, settings.batch_size)
            made = [
                {"prompt_ids": p, "answer_ids": a, "temperature": temperature}
                for p, a in zip(rows, answers, strict=True)
            ]
            file.write("".join(json.dumps(row) + "\n" for row in made))
            file.flush()
            done += made
            progress.advance(len(made))
    return [
        Sequence(r["prompt_ids"] + r["answer_ids"], [False] * len(r["prompt_ids"]) + [True] * len(r["answer_ids"]))
        for r in done
    ]
