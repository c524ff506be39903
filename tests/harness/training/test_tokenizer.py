"""The tokenizer: Gemma 4's marks at their ids, its turn format, and every text round-trips."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from harness.training.corpus import stream
from harness.training.data import encode_chat
from harness.training.tokenizer import chat_pieces, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    texts = (piece for chat in islice(stream(0), 300) for piece, _ in chat_pieces(chat))
    train_tokenizer(texts, 400).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_special_tokens_have_gemmas_ids(tokenizer: Any) -> None:
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    assert len(tokenizer) == 400


@given(st.text())
def test_any_text_round_trips(text: str) -> None:
    made = train_tokenizer(["one two three"], 300)
    assert made.decode(made(text, add_special_tokens=False)["input_ids"]) == text or any(m in text for m in ("<", "|"))


def test_digits_are_single_tokens(tokenizer: Any) -> None:
    assert tokenizer.tokenize("2048") == list("2048")


def test_training_pieces_join_to_the_text_of_the_chat_template(tokenizer: Any) -> None:
    for chat in islice(stream(3), 200):
        rendered = tokenizer.apply_chat_template(chat.messages, tokenize=False, enable_thinking=chat.thinking)
        assert "".join(text for text, _ in chat_pieces(chat)) == rendered
        assert encode_chat(tokenizer, chat).token_ids == tokenizer(rendered, add_special_tokens=False)["input_ids"]


def test_thinking_is_switched_on_in_the_system_turn(tokenizer: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=True)
    assert text == "<bos><|turn>system\n<|think|>Be brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"


def test_the_models_own_tokens_end_with_the_end_of_turn(tokenizer: Any) -> None:
    end = tokenizer.convert_tokens_to_ids("<turn|>")
    for chat in islice(stream(5), 50):
        sequence = encode_chat(tokenizer, chat)
        last = max(i for i, spoken in enumerate(sequence.spoken) if spoken)
        assert sequence.token_ids[last] == end
