"""Prompts as people write them: a string or chat messages become token ids, and an answer becomes text again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drafters.errors import InputError
from harness.target.target import Target
from harness.tasks.chat import load_tokenizer, templated

Message = Mapping[str, str]
#: Token ids, raw text, or the messages of a chat that waits for the model's turn.
Prompt = Sequence[int] | str | Sequence[Message]


def tokenizer_of(target: Target) -> Any:
    """The tokenizer beside the target's weights, loaded once. Raises InputError where there is none."""
    if target.tokenizer is None:
        if target.folder is None:
            raise InputError("the target has no tokenizer: expected token ids, or target.tokenizer to be set")
        target.tokenizer = load_tokenizer(str(target.folder))
    return target.tokenizer


def is_single(given: Any) -> bool:
    """Whether `given` is one prompt: a string, token ids or messages; else it is a list of prompts."""
    return isinstance(given, str) or (bool(given) and isinstance(given[0], int | Mapping))


def is_text(prompt: Any) -> bool:
    """Whether a prompt is a string or messages."""
    return isinstance(prompt, str) or (bool(prompt) and isinstance(prompt[0], Mapping))


def to_token_ids(target: Target, prompt: Any) -> list[int]:
    """The token ids of one prompt; token ids pass as they are.

    A string is raw text, with the special tokens that the tokenizer puts around any. Messages go through the chat
    template. Raises InputError for a tokenizer that is missing or has no template, and for a message without its parts.
    """
    if isinstance(prompt, str):
        return list(tokenizer_of(target)(prompt)["input_ids"])
    if not is_text(prompt):
        return list(prompt)
    for message in prompt:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise InputError(f"message {message!r}: expected {{'role': ..., 'content': ...}}")
    tokenizer = tokenizer_of(target)
    if not getattr(tokenizer, "chat_template", None):
        raise InputError("the target's tokenizer has no chat template: expected a string or token ids")
    try:
        text = templated(tokenizer, prompt, None)
    except Exception as error:  # a template is a program of the checkpoint's author: it may raise anything
        raise InputError(f"the target's chat template refused the messages ({error})") from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def to_text(target: Target, token_ids: Sequence[int]) -> str:
    """An answer as people read it, without special tokens. Raises InputError where there is no tokenizer."""
    return str(tokenizer_of(target).decode(list(token_ids), skip_special_tokens=True))
