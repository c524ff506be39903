"""Prompts grow to a length by other prompts' text, the question last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import asset
from harness.tasks.chat import load_tokenizer
from harness.tasks.lengthen import lengthen
from harness.tasks.prompts import Prompt

PROMPTS = [
    Prompt("a", "c", ("first question here", "then")),
    Prompt("b", "c", ("another one",)),
    Prompt("d", "c", ("x " * 40,)),
]


def words(prompt: Prompt) -> int:
    return len(prompt.turns[0].split())


@given(st.integers(1, 200))
def test_each_prompt_has_the_requested_length_and_ends_in_its_question(tokens: int) -> None:
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


CHINESE = "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能以人类智能相似的方式做出反应的机器。"
ENGLISH = "The river ran quickly past the old mill, where nobody had ground corn for a hundred years. "
MIXED = ENGLISH + CHINESE + "\U0001f600" * 9
TEXTS = {"chinese": CHINESE * 3, "english": ENGLISH * 3, "one word": "x" * 300, "mixed": MIXED}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("tokens", [300, 1000, 1601])
def test_any_language_reaches_the_length_with_little_tokenising(text: str, tokens: int) -> None:
    tokenizer, tokenised = load_tokenizer(asset("target")), 0

    def count(prompt: Prompt) -> int:
        nonlocal tokenised
        found = len(tokenizer("\n\n".join(prompt.turns))["input_ids"])
        tokenised += found
        return found

    prompts = [Prompt(str(index), "c", (f"{index} {text[:40]}", text)[: 1 + index % 2]) for index in range(4)]
    [after, *_] = lengthen(prompts, tokens, count)
    # A character may be three tokens of bytes.
    assert tokens - 3 <= count(after) <= tokens
    assert tokenised < 10 * tokens * len(prompts)


def test_lengthening_ends_with_text_that_gives_no_tokens() -> None:
    [after, _] = lengthen([Prompt("a", "c", ("q",)), Prompt("b", "c", ("other",))], 9, lambda prompt: 1)
    assert after.turns[0].endswith("\n\nq")


def test_words_stay_whole_where_the_length_allows_it() -> None:
    prompts = [Prompt("a", "c", ("why?",)), Prompt("b", "c", ("alpha beta gamma delta epsilon",))]
    assert lengthen(prompts, 3, words)[0].turns[0] == "alpha beta\n\nwhy?"
