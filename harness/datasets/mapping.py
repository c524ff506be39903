"""A row of a published dataset becomes a prompt, by the rules of its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.datasets.rows import Row
from harness.datasets.settings import RowConfig
from harness.errors import InputError
from harness.prompts import Prompt, prompt_from, texts

ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


class RowMapping:
    """Turns rows of the dataset `name` into prompts. Raises InputError for a template that is none."""

    def __init__(self, config: RowConfig, name: str, by_hand: str | None = None) -> None:
        self.config, self.name, self.by_hand = config, name, by_hand
        self.groups = {theirs: ours for ours, members in config.groups.items() for theirs in members}
        try:
            self.template = None if config.template is None else ENVIRONMENT.from_string(config.template)
        except TemplateError as error:
            raise InputError(f"dataset.row.template: no Jinja template ({error})") from error

    @property
    def columns(self) -> list[str]:
        """The columns that are read; empty where any may be."""
        config = self.config
        if not config.is_mapped:
            return []
        named = [
            *(config.turns or []),
            *config.id,
            *config.answer_columns,
            *([config.category] if config.category else []),
        ]
        asked = meta.find_undeclared_variables(ENVIRONMENT.parse(config.template or ""))
        return sorted({*named, *asked})

    def __call__(self, row: Row) -> Prompt:
        """The row as a prompt. Raises InputError naming the row, and the column or rule that did not fit."""
        prompt = self._mapped(row) if self.config.is_mapped else prompt_from(row, self.name)
        mark = self.config.placeholder
        if mark is not None and any(mark in turn for turn in prompt.turns):
            raise InputError(f"{row.where}: published without its text ({mark!r}). {self.by_hand or ''}".rstrip())
        if self.config.system is None:
            return prompt
        return replace(prompt, opening=(("system", self.config.system), *prompt.opening))

    def _mapped(self, row: Row) -> Prompt:
        identifier = first_of(row.values, self.config.id)
        return Prompt(
            f"{self.name}-{row.number}" if identifier is None else str(identifier),
            self._category(row.values),
            self._turns(row),
            answer=self._answer(row.values),
        )

    def _turns(self, row: Row) -> tuple[str, ...]:
        if self.template is not None:
            try:
                return texts([self.template.render(row.values)], row.where, "the rendered template")
            except UndefinedError as error:
                columns = ", ".join(row.values) or "none"
                raise InputError(
                    f"{row.where}: dataset.row.template: {error.message}; columns are {columns}"
                ) from error
            except TemplateError as error:
                raise InputError(f"{row.where}: dataset.row.template: {error}") from error
        names = list(self.config.turns or [])
        found = first_of(row.values, names)
        if found is None:
            columns = ", ".join(row.values) or "none"
            raise InputError(f"{row.where}: expected the turns in {' or '.join(names)}, columns are {columns}")
        return texts([found] if isinstance(found, str) else list(found), row.where, "turns")

    def _category(self, values: Mapping[str, Any]) -> str:
        column = self.config.category
        own = values.get(column) if column is not None else None
        if own is None or own == "":
            return self.name
        return self.groups.get(str(own), str(own))

    def _answer(self, values: Mapping[str, Any]) -> Any:
        if isinstance(self.config.answer, str):
            return values.get(self.config.answer)
        kept = {name: values[name] for name in self.config.answer_columns if values.get(name) is not None}
        return kept or None


def first_of(values: Mapping[str, Any], columns: list[str]) -> Any:
    """The first of `columns` that the row has, None where it has none."""
    return next((values[name] for name in columns if values.get(name) is not None), None)
