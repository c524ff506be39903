"""Prompts grow to a length by other prompts' text, the question last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.datasets.context import lengthen
from harness.prompts import Prompt

PROMPTS = [
    Prompt("a", "c", ("first question here", "then")),
    Prompt("b", "c", ("another one",)),
    Prompt("d", "c", ("x " * 40,)),
]


def words(prompt: Prompt) -> int:
    return len(prompt.turns[0].split())


@given(st.integers(1, 200))
def test_each_prompt_has_what_was_asked_for_and_ends_in_its_question(tokens: int) -> None:
    for before, after in zip(PROMPTS, lengthen(PROMPTS, tokens, words), strict=True):
        assert after.turns[0].endswith(before.turns[0])
        assert after.turns[1:] == before.turns[1:]
        if words(before) >= tokens:
            assert after == before
        else:
            assert words(after) == tokens


def test_a_lone_prompt_is_lengthened_by_itself() -> None:
    [after] = lengthen([PROMPTS[1]], 7, words)
    assert words(after) == 7


def test_the_text_is_the_other_prompts_own() -> None:
    after = lengthen(PROMPTS, 7, words)[0]
    assert after.turns[0].startswith("another one")
