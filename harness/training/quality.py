"""Is the target worth decoding? Ends, repeats and right answers of its greedy answers to held-out prompts."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from harness.target.target import Target
from harness.training.answers import answer, render
from harness.training.corpus import KINDS, Chat, held_out, score


def repeated_share(token_ids: list[int], width: int = 8) -> float:
    """Share of a text's n-grams that occurred before in it; 0 for a text shorter than one n-gram."""
    grams = Counter(tuple(token_ids[i : i + width]) for i in range(len(token_ids) - width + 1))
    total = sum(grams.values())
    return (total - len(grams)) / total if total else 0.0


def evaluate(
    target: Target, tokenizer: Any, per_kind: int, seed: int = 0, max_new_tokens: int = 448
) -> tuple[dict[str, dict[str, float]], list[tuple[Chat, str]]]:
    """Per kind: share that ends with a stop token, repeated 8-grams, mean score, mean answer length; and the texts."""
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
        figures[kind] = {
            "ended": sum(a[-1] in stops for a in answers) / len(answers),
            "repeated": sum(map(repeated_share, answers)) / len(answers),
            "score": sum(marked) / len(marked) if marked else float("nan"),
            "keys": float(len(marked)),
            "tokens": sum(map(len, answers)) / len(answers),
        }
        texts += list(zip(chats, decoded, strict=True))
    return figures, texts
