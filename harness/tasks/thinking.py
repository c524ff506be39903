"""Telling a model's thinking from its answer, by the marks that its tokenizer has for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Opening and closing marks of the chat formats in use; Gemma 4's first.
MARKS = (("<|channel>", "<channel|>"), ("<think>", "</think>"))
#: What a channel is called before its thought begins; alone it is no thought.
LABELS = ("", "thought", "thinking", "analysis")


class Thinking:
    """Splits token ids at the thinking marks of `tokenizer`; without marks everything is answer."""

    def __init__(self, tokenizer: Any) -> None:
        vocabulary = tokenizer.get_vocab()
        pairs = [(vocabulary[a], vocabulary[b]) for a, b in MARKS if a in vocabulary and b in vocabulary]
        self.tokenizer = tokenizer
        self.opening, self.closing = {a for a, _ in pairs}, {b for _, b in pairs}

    def split(self, token_ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """The thought and the answer, both without marks. A thought that was never closed has no answer after it.

        What stands before a thought and between two is answer. The opening mark may be missing: some templates write
        it into the prompt, so a mark that closes with none open ends a thought that began after the mark before it.
        """
        thought: list[int] = []
        answer: list[int] = []
        since: list[int] = []  # the tokens since the last mark
        thinks = False
        for token in token_ids:
            if token in self.opening:
                (thought if thinks else answer).extend(since)
                since, thinks = [], True
            elif token in self.closing:
                thought.extend(since)
                since, thinks = [], False
            else:
                since.append(token)
        (thought if thinks else answer).extend(since)
        return thought, answer

    def count(self, token_ids: Sequence[int]) -> int:
        """Tokens of thought; an empty channel, which some models write when they skip thinking, has none."""
        thought, _ = self.split(token_ids)
        return len(thought) if self.tokenizer.decode(thought).strip() not in LABELS else 0
