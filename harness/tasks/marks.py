"""Finds special tokens in a prompt's own text, which a tokenizer reads as marks of the chat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.tasks.prompts import Prompt


def special_tokens(tokenizer: Any) -> list[str]:
    """Every special token of `tokenizer`, including those without a role; none if it has no special tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    names = {token.content for token in added if token.special} | set(getattr(tokenizer, "all_special_tokens", ()))
    return sorted(name for name in names if name)


def marked_prompts(prompts: Iterable[Prompt], tokenizer: Any) -> dict[str, list[str]]:
    """The special tokens in the text of prompts, by prompt id; prompts without any are left out."""
    names = special_tokens(tokenizer)
    found: dict[str, list[str]] = {}
    for prompt in prompts:
        texts = [*(content for _, content in prompt.opening), *prompt.turns]
        marks = [name for name in names if any(_is_read_in(name, text, tokenizer) for text in texts)]
        if marks:
            found[prompt.prompt_id] = marks
    return found


def _is_read_in(name: str, text: str, tokenizer: Any) -> bool:
    if name not in text:
        return False
    # A tokenizer may match some of its marks only as whole words.
    return tokenizer.convert_tokens_to_ids(name) in tokenizer(text, add_special_tokens=False)["input_ids"]
