"""Chats and answers as batches: bucketed by length, and resumable at any batch.

A pool of chats is drawn, sorted by length and cut into batches of about `batch_tokens` tokens. A pool
is seeded by its number alone, so a checkpoint holds only a `(pool, offset)` pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from drafters.errors import InputError
from harness.training.corpus import Chat, stream
from harness.training.tokenizer import chat_pieces


@dataclass(frozen=True, slots=True)
class Sequence:
    """Token ids, each marked if the model spoke it."""

    token_ids: list[int]
    spoken: list[bool]


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Sequences padded on the right: under causal attention no real token sees the padding."""

    tokens: Tensor  # [B, T]
    spoken: Tensor  # [B, T] bool; False on padding
    lengths: Tensor  # [B]

    def to(self, device: torch.device) -> TrainingBatch:
        return TrainingBatch(self.tokens.to(device), self.spoken.to(device), self.lengths.to(device))


def encode_chat(tokenizer: Any, chat: Chat) -> Sequence:
    """Tokens of a chat with the model's own marked."""
    pieces = chat_pieces(chat)
    encoded = tokenizer([text for text, _ in pieces], add_special_tokens=False)["input_ids"]
    spoken = [flag for ids, (_, flag) in zip(encoded, pieces, strict=True) for _ in ids]
    return Sequence([i for ids in encoded for i in ids], spoken)


def collate(sequences: list[Sequence], pad: int = 0) -> TrainingBatch:
    """Pad to the longest of the batch, rounded up to a multiple of 16 so that few shapes occur."""
    longest = -(-max(len(s.token_ids) for s in sequences) // 16) * 16
    tokens = torch.full((len(sequences), longest), pad)
    spoken = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, s in enumerate(sequences):
        tokens[row, : len(s.token_ids)] = torch.tensor(s.token_ids)
        spoken[row, : len(s.spoken)] = torch.tensor(s.spoken)
    return TrainingBatch(tokens, spoken, torch.tensor([len(s.token_ids) for s in sequences]))


def corpus_pool(tokenizer: Any, seed: int, size: int) -> Callable[[int], list[Sequence]]:
    """A pool of fresh training chats for every number, without end."""

    def pool(number: int) -> list[Sequence]:
        chats = stream(seed * 1_000_003 + number)
        return [encode_chat(tokenizer, next(chats)) for _ in range(size)]

    return pool


def epoch_pool(sequences: list[Sequence]) -> Callable[[int], list[Sequence]]:
    """A pool that is the whole of a fixed set, one epoch, for every number. Raises InputError for an empty set."""
    if not sequences:
        raise InputError(
            "answers: no training sequences, expected at least one prompt of at most answers.max_prompt_tokens tokens "
            "(answers.path, answers.count)"
        )
    return lambda number: sequences


class Batches(Iterator[TrainingBatch]):
    """Endless batches from numbered pools, resumable by `state` and `load_state`."""

    def __init__(self, pool: Callable[[int], list[Sequence]], batch_tokens: int, seed: int, max_length: int) -> None:
        self._pool, self._batch_tokens, self._seed, self._max_length = pool, batch_tokens, seed, max_length
        self._number, self._offset = 0, 0
        self._cut: list[list[Sequence]] | None = None

    def state(self) -> dict[str, int]:
        return {"number": self._number, "offset": self._offset}

    def load_state(self, state: dict[str, int]) -> None:
        self._number, self._offset, self._cut = state["number"], state["offset"], None

    def _batches(self) -> list[list[Sequence]]:
        rng = Random(f"{self._seed}-{self._number}")
        sequences = [s for s in self._pool(self._number) if len(s.token_ids) <= self._max_length]
        rng.shuffle(sequences)
        sequences.sort(key=lambda s: len(s.token_ids) // 16)
        batches: list[list[Sequence]] = [[]]
        for s in sequences:
            if batches[-1] and (len(batches[-1]) + 1) * len(s.token_ids) > self._batch_tokens:
                batches.append([])
            batches[-1].append(s)
        rng.shuffle(batches)
        return batches

    def __next__(self) -> TrainingBatch:
        if self._cut is None:
            self._cut = self._batches()
        if self._offset >= len(self._cut):
            self._number, self._offset = self._number + 1, 0
            self._cut = self._batches()
        batch = self._cut[self._offset]
        self._offset += 1
        return collate(batch)
