"""`dataset`: the source of prompts, and their rendering."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.config.checks import count, one_of
from harness.config.rows import RowConfig, SourceConfig
from harness.config.scoring import SCORERS

MOST_RANDOM_TOKENS = 100_000_000  # some gigabytes of text


@dataclass
class DatasetConfig:
    """The source of prompts and their rendering. `thinking` None leaves the template at its own default.

    Prompts come from a local file in `path`, else from `prompts` in the config, else from the publisher's `source`.
    `random_tokens` makes `limit` prompts of `context_tokens` random token ids instead, without a tokenizer. For other
    prompts `context_tokens` puts text of the same dataset before each one until it has that many tokens.
    """

    name: str = "jsonl"
    path: str | None = None
    prompts: list[dict[str, Any]] | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    row: RowConfig = field(default_factory=RowConfig)
    limit: int | None = None
    categories: list[str] | None = None
    chat_template: bool = True
    thinking: bool | None = False
    context_tokens: int | None = None
    scorer: str | None = None
    random_tokens: bool = False

    def __post_init__(self) -> None:
        for key, what in (("limit", "how many prompts to make"), ("context_tokens", "how many tokens each shall have")):
            if self.random_tokens and getattr(self, key) is None:
                raise InputError(f"dataset.{key} is empty: expected {what} (dataset.random_tokens=true)")
        if not (self.random_tokens or self.path or self.prompts or self.source.is_fetchable):
            licence = f" (licence: {self.source.licence})" if self.source.licence else ""
            how = f"{self.name} is fetched by you{licence}. {self.source.by_hand}" if self.source.by_hand else None
            raise InputError(f"dataset.path is empty: {how or 'expected a file of prompts'}")
        count(self.limit, "dataset.limit")
        count(self.context_tokens, "dataset.context_tokens")
        if self.random_tokens and (self.limit or 0) * (self.context_tokens or 0) > MOST_RANDOM_TOKENS:
            raise InputError(
                f"dataset.limit={self.limit} prompts of dataset.context_tokens={self.context_tokens}: expected at most "
                f"{MOST_RANDOM_TOKENS} random tokens in all"
            )
        if self.scorer is not None:
            one_of(self.scorer, SCORERS, "dataset.scorer")

    @property
    def label(self) -> str:
        """The dataset's name in tables: its config's, or the file's where the config names none."""
        return name_of(Path(str(self.path))) if self.name == "jsonl" else self.name


def name_of(path: Path) -> str:
    """The file's name without its suffix, as ids, categories and tables hold it: always text that UTF-8 can write."""
    return os.fsencode(path.stem).decode("utf-8", "replace")
