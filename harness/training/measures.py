"""The figures of the model cards: answers of the target to held-out prompts, and acceptance of its drafters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from drafters.base import Drafter
from harness.decoding.api import generate
from harness.metrics.repetition import repeated_ngrams
from harness.target.target import Target
from harness.tasks.scoring.corpus import score
from harness.training.answers import answer, render
from harness.training.corpus import KINDS, Chat, held_out
from harness.vocabulary import ALL


def evaluate(
    target: Target, tokenizer: Any, per_kind: int, seed: int = 0, max_new_tokens: int = 448
) -> tuple[dict[str, dict[str, float]], list[tuple[Chat, str]]]:
    """Figures per kind of greedy answers to held-out prompts, and the answers' texts.

    `ended` is the share that ends with a stop token, `repeated` the mean share of repeated 8-grams, `score` the mean
    over the `keys` prompts with an answer key (NaN without any), `tokens` the mean length.
    """
    stops = set(target.eos_token_ids)
    figures: dict[str, dict[str, float]] = {}
    texts: list[tuple[Chat, str]] = []
    for kind in KINDS:
        chats = list(islice(held_out(kind, seed), per_kind))
        prompts = [render(tokenizer, c.prompt_messages, c.thinking) for c in chats]
        answers = answer(target, prompts, max_new_tokens, 0.0, seed, batch_size=24)
        decoded = [tokenizer.decode(a, skip_special_tokens=False) for a in answers]
        scores = [score(kind, c.answer, t) for c, t in zip(chats, decoded, strict=True)]
        marked = [s for s in scores if s is not None]
        repeated, ngrams = repeated_ngrams(answers)
        figures[kind] = {
            "ended": sum(a[-1] in stops for a in answers) / len(answers),
            "repeated": float(np.mean(repeated / np.maximum(ngrams, 1))),
            "score": sum(marked) / len(marked) if marked else float("nan"),
            "keys": float(len(marked)),
            "tokens": sum(map(len, answers)) / len(answers),
        }
        texts += list(zip(chats, decoded, strict=True))
    return figures, texts


def acceptance_length(
    target: Target,
    drafter: Drafter,
    prompts: Sequence[tuple[str, list[int]]],
    k: int,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 448,
    batch_size: int = 8,
    seed: int = 0,
) -> dict[str, float]:
    """Tokens emitted per round, pooled over the rounds of each kind and of `all`; prompts are (kind, token ids)."""
    options: dict[str, Any] = {
        "num_draft_tokens": k, "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed,
        "eos_token_ids": target.eos_token_ids, "batch_size": batch_size,
    }  # fmt: skip
    made = generate(target, drafter, [ids for _, ids in prompts], **options)
    emitted: dict[str, int] = defaultdict(int)
    rounds: dict[str, int] = defaultdict(int)
    for (kind, _), generation in zip(prompts, made, strict=True):
        for name in (kind, ALL):
            emitted[name] += sum(r.emitted for r in generation.rounds)
            rounds[name] += len(generation.rounds)
    return {name: emitted[name] / rounds[name] for name in emitted if rounds[name]}
