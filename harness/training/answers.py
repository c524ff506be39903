"""Data regeneration: the target answers every prompt itself, greedily or sampled, and drafters learn from its answers.

Answers are appended to a JSONL file as they are finished, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from harness.prompts import read_jsonl

from .corpus import Chat, stream
from .data import Sequence


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How many prompts are answered and how. `path` null draws prompts from the corpus; else a JSONL prompt file."""

    path: str | None = None
    count: int = 6000
    max_new_tokens: int = 320
    max_prompt_tokens: int = 512
    batch_size: int = 128
    temperatures: tuple[float, ...] = (0.0, 0.0, 1.0)  # taken in turn, batch by batch
    thinking: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.batch_size < 1 or self.max_new_tokens < 1:
            raise ValueError(
                f"answers.count, .batch_size and .max_new_tokens are {self.count}, {self.batch_size}, "
                f"{self.max_new_tokens}: expected at least 1 each"
            )
        if not self.temperatures or min(self.temperatures) < 0:
            raise ValueError(f"answers.temperatures is {self.temperatures}: expected one or more values from 0 up")


def render(tokenizer: Any, messages: list[dict[str, str]], thinking: bool) -> list[int]:
    """Token ids of a conversation that waits for the model's turn."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def prompts_of(tokenizer: Any, settings: AnswerSettings) -> list[list[int]]:
    """Prompt token ids: the corpus's own training prompts, or every first turn of a prompt file."""
    if settings.path is None:
        chats: list[Chat] = list(islice(stream(settings.seed + 7_000_000), settings.count))
        prompts = [render(tokenizer, chat.prompt_messages, chat.thinking) for chat in chats]
    else:
        prompts = []
        for prompt in read_jsonl(Path(settings.path))[: settings.count]:
            messages = [{"role": role, "content": content} for role, content in prompt.opening]
            prompts.append(
                render(tokenizer, [*messages, {"role": "user", "content": prompt.turns[0]}], settings.thinking)
            )
    return [p for p in prompts if len(p) <= settings.max_prompt_tokens]


def stop_tokens(model: Any) -> list[int]:
    """Every token that ends an answer, by the checkpoint's own generation config."""
    eos = model.generation_config.eos_token_id
    if eos is None:
        raise ValueError("the target's generation_config has no eos_token_id: answers would never end (target.path)")
    return list(eos) if isinstance(eos, list | tuple) else [eos]


@torch.no_grad()
def answer_batch(
    model: Any, prompts: list[list[int]], pad: int, max_new_tokens: int, temperature: float
) -> list[list[int]]:
    """One answer per prompt, its stop token included; temperature 0 is greedy."""
    stops, longest = set(stop_tokens(model)), max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad, device=model.device)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        mask[row, longest - len(prompt) :] = 1
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    out = model.generate(ids, attention_mask=mask, max_new_tokens=max_new_tokens, pad_token_id=pad, **sampling)
    answers = []
    for row in out[:, longest:].tolist():
        end = next((i for i, token in enumerate(row) if token in stops), len(row) - 1)
        answers.append(row[: end + 1])
    return answers


def regenerate(model: Any, tokenizer: Any, settings: AnswerSettings, path: Path) -> list[Sequence]:
    """The target's answers to all prompts, from `path` where they are written already."""
    prompts = prompts_of(tokenizer, settings)
    prompts.sort(key=len)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    starts = range(0, len(prompts), settings.batch_size)
    with path.open("a") as file, tqdm(total=len(prompts), initial=len(done), desc="answers", mininterval=5) as bar:
        for index, start in enumerate(starts):
            batch = prompts[start : start + settings.batch_size]
            if start + len(batch) <= len(done):
                continue
            torch.manual_seed(settings.seed * 1_000_003 + index)
            temperature = settings.temperatures[index % len(settings.temperatures)]
            batch = batch[max(0, len(done) - start) :]
            answers = answer_batch(model, batch, tokenizer.pad_token_id or 0, settings.max_new_tokens, temperature)
            rows = [
                {"prompt_ids": p, "answer_ids": a, "temperature": temperature}
                for p, a in zip(batch, answers, strict=True)
            ]
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()
            done += rows
            bar.update(len(rows))
    return [
        Sequence(r["prompt_ids"] + r["answer_ids"], [False] * len(r["prompt_ids"]) + [True] * len(r["answer_ids"]))
        for r in done
    ]
