"""Prompts of a chosen length: other text of the same dataset stands before the question, as a long document would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice

from harness.prompts import Prompt


def lengthen(prompts: Sequence[Prompt], tokens: int, count: Callable[[Prompt], int]) -> list[Prompt]:
    """Each prompt with as much text before its first turn as `tokens` allow, `count` being the tokens it then has.

    The text is that of the prompts after it, word for word and around again where it does not suffice. A prompt that
    is as long already stays as it is.
    """
    return [_longer(prompt, _others(prompts, index), tokens, count) for index, prompt in enumerate(prompts)]


def _others(prompts: Sequence[Prompt], index: int) -> list[str]:
    order = [*prompts[index + 1 :], *prompts[:index]] or [prompts[index]]
    return [word for prompt in order for turn in prompt.turns for word in (*turn.split(" "), "\n\n")]


def _longer(prompt: Prompt, material: list[str], tokens: int, count: Callable[[Prompt], int]) -> Prompt:
    def with_words(number: int) -> Prompt:
        before = " ".join(islice(cycle(material), number)).strip()
        return replace(prompt, turns=(f"{before}\n\n{prompt.turns[0]}", *prompt.turns[1:])) if before else prompt

    if count(prompt) >= tokens:
        return prompt
    # Few words are less than a token, and none is less than a quarter of one.
    low, high = 0, 4 * tokens
    while low < high:
        middle = (low + high + 1) // 2
        if count(with_words(middle)) <= tokens:
            low = middle
        else:
            high = middle - 1
    return with_words(low)
