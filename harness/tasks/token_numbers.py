"""Token ids in place of text: prompts and answers as numbers, for runs without a tokenizer."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Any

from harness.tasks.prompts import Prompt

RANGE = 1 << 30  # more than any vocabulary: prompts are made before the vocabulary is known


class NumberTokenizer:
    """A tokenizer for `chat.py`: every number is a token, and every other word becomes one by its checksum.

    Numbers beyond the vocabulary are wrapped around.
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        numbers = (int(word) if word.isdecimal() else zlib.crc32(word.encode()) for word in text.split())
        return {"input_ids": [number % self.vocab_size for number in numbers]}

    def decode(self, token_ids: Sequence[int], **_: Any) -> str:
        return "".join(f"{token} " for token in token_ids)

    def get_vocab(self) -> dict[str, int]:
        return {}


def random_prompts(count: int, tokens: int, seed: int) -> list[Prompt]:
    """`count` prompts of `tokens` random numbers each; prompt i does not depend on `count`."""
    return [
        Prompt(f"random-{index}", "random", (" ".join(map(str, _numbers(tokens, f"{seed}/{index}"))),))
        for index in range(count)
    ]


def _numbers(count: int, seed: str) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(RANGE) for _ in range(count)]
