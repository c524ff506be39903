"""One text per token, from real fast tokenizers built here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from harness.tasks.token_texts import token_pieces

BYTES = [f"<0x{value:02X}>" for value in range(256)]


@pytest.fixture(scope="module")
def gemma_like() -> Any:
    """Spaces as ▁ and everything unknown as bytes, as Gemma's tokenizer has it."""
    words = ["<end>", "▁", "a", "▁b", "é", "\n", *BYTES]
    inner = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[], byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    inner.add_special_tokens(["<end>"])
    return SimpleNamespace(backend_tokenizer=inner)


def test_every_token_has_its_text_and_spaces_are_kept(gemma_like: Any) -> None:
    ids = [gemma_like.backend_tokenizer.token_to_id(word) for word in ("a", "▁b", "▁", "é", "\n", "<end>")]
    assert token_pieces(gemma_like, ids) == ["a", " b", " ", "é", "\n", "<end>"]


def test_a_character_in_several_tokens_belongs_to_the_last(gemma_like: Any) -> None:
    ids = [gemma_like.backend_tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in "→".encode()]
    assert token_pieces(gemma_like, ids) == ["", "", "→"]


@settings(max_examples=30)
@given(text=st.text(alphabet="a b→é\n🙂", min_size=1, max_size=30))
def test_joined_pieces_are_the_whole_answer(gemma_like: Any, text: str) -> None:
    ids = gemma_like.backend_tokenizer.encode(text, add_special_tokens=False).ids
    pieces = token_pieces(gemma_like, ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == gemma_like.backend_tokenizer.decode(ids, skip_special_tokens=False)


def test_a_tokenizer_without_a_stream_is_asked_token_by_token() -> None:
    plain = SimpleNamespace(decode=lambda ids, skip_special_tokens: f"[{ids[0]}]")
    assert token_pieces(plain, [3, 4]) == ["[3]", "[4]"]
