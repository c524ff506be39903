"""Splits an answer into one text per token, so that a report can colour it by round without a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def token_pieces(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """One text per token, special tokens included; joined they are the whole answer.

    A character spread over several tokens belongs to the last of them, and the others are empty. Bytes at the end
    that never make a character are left out.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        # A tokenizer in plain Python has no stream; a token decoded alone may lack the space before it.
        return [str(tokenizer.decode([token], skip_special_tokens=False)) for token in token_ids]
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    return [stream.step(backend, int(token)) or "" for token in token_ids]
