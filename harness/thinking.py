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

        The opening mark may be missing: some templates write it into the prompt.
        """
        ids = list(token_ids)
        closed = [index for index, token in enumerate(ids) if token in self.closing]
        opened = [index for index, token in enumerate(ids) if token in self.opening]
        if closed:
            # A mark that opens after the last close begins another thought, cut short.
            cut = next((index for index in opened if index > closed[-1]), len(ids))
            thought, answer = ids[: closed[-1]] + ids[cut:], ids[closed[-1] + 1 : cut]
        elif opened:
            thought, answer = ids[opened[0] :], ids[: opened[0]]
        else:
            thought, answer = [], ids
        marks = self.opening | self.closing
        return [token for token in thought if token not in marks], answer

    def count(self, token_ids: Sequence[int]) -> int:
        """Tokens of thought; an empty channel, which some models write when they skip thinking, has none."""
        thought, _ = self.split(token_ids)
        return len(thought) if self.tokenizer.decode(thought).strip() not in LABELS else 0
