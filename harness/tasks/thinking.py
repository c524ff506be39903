"""Separates a model's thinking from its answer, by the marks of its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Opening and closing marks of the chat formats in use; Gemma 4's first.
MARKS = (("<|channel>", "<channel|>"), ("<think>", "</think>"))
#: Labels of a channel, before its thought; a label alone is no thought.
LABELS = ("", "thought", "thinking", "analysis")


class Thinking:
    """Splits token ids at the thinking marks of `tokenizer`; without marks everything is answer."""

    def __init__(self, tokenizer: Any) -> None:
        vocabulary = tokenizer.get_vocab()
        pairs = [(vocabulary[a], vocabulary[b]) for a, b in MARKS if a in vocabulary and b in vocabulary]
        self.tokenizer = tokenizer
        self.opening, self.closing = {a for a, _ in pairs}, {b for _, b in pairs}

    def split(self, token_ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """The thought and the answer, both without marks. An unclosed thought has no answer after it.

        Text before and between thoughts is answer. Some templates write the opening mark into the prompt, so a closing
        mark without an open one ends a thought that began after the previous mark.
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
        """The number of tokens of thought. An empty channel, which some models write without thinking, has none."""
        thought, _ = self.split(token_ids)
        return len(thought) if self.tokenizer.decode(thought).strip() not in LABELS else 0
