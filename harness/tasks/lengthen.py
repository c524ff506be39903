"""Lengthens prompts to a chosen number of tokens: other text of the dataset is put before the question."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle

from harness.tasks.prompts import Prompt

BETWEEN = "\n\n"
FIRST_GUESS = 64  # characters, whose tokens say how long a text is needed
#: Text hardly ever has more characters per token; text with more adds no tokens at all.
MOST_PER_TOKEN = 64
#: Longer runs of characters without a blank belong to a language written without blanks.
LONGEST_WORD = 24


def lengthen(prompts: Sequence[Prompt], tokens: int, count: Callable[[Prompt], int]) -> list[Prompt]:
    """Each prompt with as much text before its first turn as `tokens` allow; `count` gives a prompt's tokens.

    The text is that of the following prompts, repeated if it does not suffice. It ends between two words if that
    reaches the length to within a token, else inside a word: several languages write no blanks. A prompt that is long
    enough stays unchanged.
    """
    return [_longer(prompt, _Material(prompts, index), tokens, count) for index, prompt in enumerate(prompts)]


class _Material:
    """The text of the prompts other than number `index`, joined on demand."""

    def __init__(self, prompts: Sequence[Prompt], index: int) -> None:
        self.text = ""
        self.rest: Iterator[Prompt] = cycle([*prompts[index + 1 :], *prompts[:index]] or [prompts[index]])

    def first(self, characters: int) -> str:
        while len(self.text) < characters:
            self.text += BETWEEN.join(next(self.rest).turns) + BETWEEN
        return self.text[:characters].strip()

    def word_around(self, characters: int) -> list[int]:
        """The end and the start of the word that a cut after `characters` splits; none if it splits no word."""
        self.first(characters + LONGEST_WORD)
        before = re.search(r"\S*\Z", self.text[:characters])
        after = re.match(r"\S*", self.text[characters:])
        assert before is not None and after is not None  # both patterns match the empty text, too
        ends = [characters + after.end(), before.start()]
        parted = before.group() and after.group() and len(before.group() + after.group()) <= LONGEST_WORD
        return [end for end in ends if end] if parted else []


def _longer(prompt: Prompt, material: _Material, tokens: int, count: Callable[[Prompt], int]) -> Prompt:
    def with_text(characters: int) -> Prompt:
        before = material.first(characters)
        turns = (f"{before}{BETWEEN}{prompt.turns[0]}", *prompt.turns[1:])
        return replace(prompt, turns=turns) if before else prompt

    own = count(prompt)
    if own >= tokens:
        return prompt
    # Tokens grow almost evenly with characters, so a line through two known lengths predicts the next guess.
    low, low_count = 0, own  # at most the requested length
    high, high_count = 0, 0  # too long; 0 until a length is known to be
    guess = FIRST_GUESS
    while low_count < tokens and (not high or high - low > 1):
        found = count(with_text(guess))
        if found <= tokens:
            low, low_count = guess, found
        else:
            high, high_count = guess, found
        if high:
            step = (high - low) * (tokens - low_count) // (high_count - low_count)
            guess = min(max(low + step, low + 1), high - 1)
        elif low > MOST_PER_TOKEN * tokens:
            break
        else:
            per_token = low / max(low_count - own, 1)
            guess = low + max(1, round(per_token * (tokens - low_count)))
    for whole in material.word_around(low):
        if tokens - 1 <= count(with_text(whole)) <= tokens:
            return with_text(whole)
    return with_text(low)
