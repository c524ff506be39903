"""Special tokens inside a prompt's own text: a tokenizer reads them as marks of the chat, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.tasks.prompts import Prompt


def special_tokens(tokenizer: Any) -> list[str]:
    """Every special token of `tokenizer`, those without a role of their own too; none where it knows no such thing."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    names = {token.content for token in added if token.special} | set(getattr(tokenizer, "all_special_tokens", ()))
    return sorted(name for name in names if name)


def marked_prompts(prompts: Iterable[Prompt], tokenizer: Any) -> dict[str, list[str]]:
    """The special tokens that stand in the text of prompts, by prompt id; prompts without any are left out."""
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
    # A tokenizer may match some of its marks only where they stand alone.
    return tokenizer.convert_tokens_to_ids(name) in tokenizer(text, add_special_tokens=False)["input_ids"]
