"""Turns prompts into token ids, with the target's own tokenizer and chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.config import DatasetConfig, RunConfig
from harness.config.synthetic import RANDOM
from harness.tasks.marks import marked_prompts
from harness.tasks.prompts import Prompt
from harness.tasks.thinking import Thinking
from harness.tasks.token_numbers import NumberTokenizer

TOKENIZER = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One turn as the target reads it."""

    text: str
    token_ids: list[int]


class Chat:
    """Renders turns of prompts and reads answers back, in one way for the whole run."""

    def __init__(self, tokenizer: Any, config: DatasetConfig, vocab_size: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size  # the target's
        self.config = config
        self.template: str | None = getattr(tokenizer, "chat_template", None) if config.chat_template else None
        if config.chat_template and not self.template:
            raise InputError(
                "the target's tokenizer has no chat template: set dataset.chat_template=false for raw text"
            )
        self.marks = Thinking(tokenizer)
        if config.thinking:
            self._check_thinking()

    def render(self, prompt: Prompt, answers: Sequence[str]) -> Rendered:
        """Turn number `len(answers)` of `prompt`, after `answers` to the turns before it. Raises InputError."""
        messages = prompt.messages(answers)
        if self.template is None:
            # Without a template nothing marks the turns; a blank line is the least that separates them.
            text = "\n\n".join(message["content"] for message in messages)
            return self._rendered(prompt, text, list(self.tokenizer(text)["input_ids"]))
        try:
            text = templated(self.tokenizer, messages, self.config.thinking)
        except Exception as error:  # a template is a program of the checkpoint's author: it may raise anything
            raise InputError(f"prompt {prompt.prompt_id}: the target's chat template refused it ({error})") from error
        # The template writes the special tokens itself.
        return self._rendered(prompt, text, list(self.tokenizer(text, add_special_tokens=False)["input_ids"]))

    def _rendered(self, prompt: Prompt, text: str, token_ids: list[int]) -> Rendered:
        """Raises InputError for a token beyond the target's vocabulary: it has no embedding."""
        beyond = [token for token in token_ids if self.vocab_size is not None and token >= self.vocab_size]
        if beyond:
            raise InputError(
                f"prompt {prompt.prompt_id}: the tokenizer beside target.path gives token {beyond[0]}, the target has "
                f"{self.vocab_size}; expected the tokenizer that belongs to the target"
            )
        return Rendered(text, token_ids)

    def marked(self, prompts: Iterable[Prompt]) -> dict[str, list[str]]:
        """Special tokens in the text of prompts, by prompt id. They are rendered unchanged."""
        return marked_prompts(prompts, self.tokenizer)

    def _check_thinking(self) -> None:
        probe = [{"role": "user", "content": "?"}]
        both = [
            self.tokenizer.apply_chat_template(probe, tokenize=False, enable_thinking=on) if self.template else ""
            for on in (True, False)
        ]
        if both[0] == both[1]:
            raise InputError(
                "dataset.thinking=true: the target's chat template ignores it; set dataset.thinking to null or false"
            )

    def answer(self, token_ids: Sequence[int]) -> str:
        """The answer for the reader: the text without its thinking."""
        return self.text(self.marks.split(token_ids)[1])

    def thinking_tokens(self, token_ids: Sequence[int]) -> int | None:
        """The number of tokens of thought in an answer; None if thinking was not requested."""
        return self.marks.count(token_ids) if self.config.thinking else None

    def text(self, token_ids: Sequence[int]) -> str:
        """An answer as people read it, without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def history(self, token_ids: Sequence[int], eos_token_ids: Sequence[int]) -> str:
        """An answer as later turns repeat it: without its end token; the template strips the thinking."""
        kept = list(token_ids)
        while kept and kept[-1] in eos_token_ids:
            kept.pop()
        return str(self.tokenizer.decode(kept, skip_special_tokens=False))

    def describe(self) -> dict[str, Any]:
        """The template and the thinking mode, for the manifest."""
        digest = hashlib.sha256(self.template.encode()).hexdigest() if self.template else None
        return {"chat_template": self.config.chat_template, "thinking": self.config.thinking, "template_sha256": digest}


def templated(tokenizer: Any, messages: Sequence[Mapping[str, str]], thinking: bool | None) -> str:
    """The text of a conversation that waits for the model's turn; `thinking` None leaves the template's own default.

    Raises whatever the template raises.
    """
    switches = {} if thinking is None else {"enable_thinking": thinking}
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **switches))


def open_chat(config: RunConfig, vocab_size: int) -> Chat:
    """The run's chat. With random tokens, or without a tokenizer, prompts and answers are token numbers.

    Random weights need no tokenizer: none is downloaded for shapes that come without one.
    """
    path = str(config.target.path)
    without = config.target.weights == RANDOM and not (Path(path) / TOKENIZER).is_file()
    if config.dataset.random_tokens or without:
        return Chat(NumberTokenizer(vocab_size), replace(config.dataset, chat_template=False))
    return Chat(load_tokenizer(path, config.target.revision), config.dataset, vocab_size)


def load_tokenizer(path: str, revision: str | None = None) -> Any:
    """The tokenizer beside a target. Raises InputError that names the folder if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise errors of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"target.path={path}: no tokenizer could be loaded from it ({reason})") from error


def check_length(prompt_tokens: int, max_new_tokens: int, context: int, prompt_id: str) -> None:
    """Raises InputError if a prompt and its answer do not fit into the target's context."""
    if prompt_tokens + max_new_tokens > context:
        raise InputError(
            f"prompt {prompt_id}: {prompt_tokens} tokens and max_new_tokens={max_new_tokens} need "
            f"{prompt_tokens + max_new_tokens} positions, the target has {context}; "
            "lower max_new_tokens or leave the prompt out (dataset.path, dataset.limit, dataset.categories)"
        )
