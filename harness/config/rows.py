"""`dataset.source` and `dataset.row`: the publisher's copy of a dataset, and the way from a row to a prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from drafters.errors import InputError


@dataclass
class SourceConfig:
    """`dataset.source`: the publisher's copy, read when `dataset.path` names no local one.

    `hub` is a dataset repository; `files` are its files, or URLs without one. `by_hand` tells a user how to get data
    that the harness must not fetch. `licence` is the publisher's, which the user must keep.
    """

    hub: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    files: list[str] | None = None
    licence: str | None = None
    by_hand: str | None = None

    def __post_init__(self) -> None:
        if self.hub is not None and self.hub.count("/") != 1:
            raise InputError(f"dataset.source.hub={self.hub}: expected a dataset's id of the form owner/name")
        if self.hub is not None and not self.files and not self.split:
            raise InputError(f"dataset.source.split is empty: expected the split of {self.hub} to read")

    @property
    def is_fetchable(self) -> bool:
        return bool(self.hub or self.files)


@dataclass
class RowConfig:
    """`dataset.row`: the way from a row to a prompt. Without it, rows hold `turns`, `messages`, `question` or `prompt`.

    `template` is Jinja over the row's columns and gives the one user turn; `turns` names columns that hold the user's
    turns as a list, the first that is there. `id`, `category` and `answer` name columns; an `answer` of several columns
    is kept by name. `aliases` maps a column of these rules to its names in other copies. `groups` maps a category of
    ours to the publisher's. A row whose text holds `placeholder` was published without its content.
    """

    template: str | None = None
    turns: list[str] | None = None
    system: str | None = None
    id: list[str] = field(default_factory=list)
    category: str | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)
    answer: Any = None
    aliases: dict[str, list[str]] = field(default_factory=dict)
    placeholder: str | None = None

    def __post_init__(self) -> None:
        if self.template is not None and self.turns is not None:
            raise InputError("dataset.row: template and turns are both set, expected one of them")
        if self.answer is not None and not isinstance(self.answer, str | list):
            raise InputError(f"dataset.row.answer={self.answer}: expected a column or a list of columns")

    @property
    def is_mapped(self) -> bool:
        """Whether rows are read by this mapping rather than by their common fields."""
        return self.template is not None or self.turns is not None

    @property
    def answer_columns(self) -> list[str]:
        return [self.answer] if isinstance(self.answer, str) else [str(name) for name in self.answer or []]
