"""Without a tokenizer, prompts and answers are numbers, and everything else stays the same."""

from __future__ import annotations

import pytest

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.tasks.dataset import load_prompts
from harness.tasks.token_numbers import NumberTokenizer, random_prompts
from harness.tasks.token_texts import token_pieces


def test_numbers_are_tokens_and_other_words_are_some_token() -> None:
    read = NumberTokenizer(100)
    assert read("7 99 100 205")["input_ids"] == [7, 99, 0, 5]
    one, other, again = read("what is what")["input_ids"]
    assert one == again != other
    assert all(0 <= token < 100 for token in (one, other))


def test_an_answer_is_written_as_numbers_and_read_back() -> None:
    tokens = NumberTokenizer(100)
    text = tokens.decode([5, 17, 3], skip_special_tokens=True)
    assert text == "5 17 3 "
    assert tokens(text)["input_ids"] == [5, 17, 3]
    assert "".join(token_pieces(tokens, [5, 17, 3])) == text


def test_random_prompts_have_the_requested_length_and_follow_the_seed() -> None:
    few, more, other = random_prompts(2, 40, seed=0), random_prompts(3, 40, seed=0), random_prompts(2, 40, seed=1)
    assert few == more[:2] != other
    assert {len(NumberTokenizer(1000)(prompt.turns[0])["input_ids"]) for prompt in more} == {40}
    assert len({prompt.turns for prompt in more}) == 3


def test_the_dataset_gives_as_many_as_its_limit() -> None:
    config = DatasetConfig("random", random_tokens=True, limit=5, context_tokens=8)
    assert [prompt.prompt_id for prompt in load_prompts(config, 0)] == [f"random-{index}" for index in range(5)]


@pytest.mark.parametrize("missing", ["limit", "context_tokens"])
def test_count_and_length_are_required(missing: str) -> None:
    with pytest.raises(InputError, match=f"dataset.{missing} is empty"):
        DatasetConfig("random", random_tokens=True, **{"limit": 4, "context_tokens": 8, missing: None})
