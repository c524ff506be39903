"""Maps a row of a published dataset to a prompt, by the rules of its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from drafters.errors import InputError
from harness.config import RowConfig
from harness.tasks.prompts import Prompt, columns_of, name_from, prompt_from, texts
from harness.tasks.rows import SourceRow

#: Columns with whole conversations, as some copies of a dataset have them.
READY = ("turns", "messages")


def _written(value: Any) -> Any:
    """Finalise a value for a prompt. A missing value must not become the word None."""
    if value is None or value != value:  # NaN is not itself
        raise TemplateError(f"a column that it writes is missing ({value})")
    return value


ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_written)


class RowMapping:
    """Turns rows of the dataset `name` into prompts. Raises InputError for an invalid template."""

    def __init__(self, config: RowConfig, name: str, by_hand: str | None = None) -> None:
        self.config, self.name, self.by_hand = config, name, by_hand
        self.groups = {theirs: ours for ours, members in config.groups.items() for theirs in members}
        try:
            self.template = None if config.template is None else ENVIRONMENT.from_string(config.template)
            self.around = ("", "") if config.template is None else literals(config.template)
            self.asked = meta.find_undeclared_variables(ENVIRONMENT.parse(config.template or ""))
        except TemplateError as error:
            raise InputError(f"dataset.row.template: not a Jinja template ({error})") from error

    @property
    def columns(self) -> list[str]:
        """The columns that are read; empty if any column may be."""
        config = self.config
        if not config.is_mapped:
            return []
        named = [
            *(name for theirs in config.aliases.values() for name in theirs),
            *(config.turns or []),
            *config.id,
            *config.answer_columns,
            *([config.category] if config.category else []),
        ]
        return sorted({*named, *self.asked})

    def __call__(self, row: SourceRow) -> Prompt:
        """The row as a prompt. Raises InputError naming the row, and the column or rule that did not fit."""
        prompt = self._mapped(row) if self._applies_to(row) else prompt_from(row, self.name)
        mark = self.config.placeholder
        if mark is not None and any(mark in turn for turn in prompt.turns):
            raise InputError(f"{row.where}: published without its text ({mark!r}). {self.by_hand or ''}".rstrip())
        if self.config.system is None:
            return prompt
        return replace(prompt, opening=(("system", self.config.system), *prompt.opening))

    def _applies_to(self, row: SourceRow) -> bool:
        """Whether these rules apply to the row, rather than those of the common fields."""
        if not self.config.is_mapped:
            return False
        ready = any(row.values.get(name) for name in READY)
        asks_for_others = self.template is not None and self.asked and self.asked.isdisjoint(self._renamed(row.values))
        return not (ready and asks_for_others)

    def _mapped(self, row: SourceRow) -> Prompt:
        values = self._renamed(row.values)
        return Prompt(
            name_from(values, self.config.id, row.where) or f"{self.name}-{row.number}",
            self._category(values, row.where),
            self._turns(replace(row, values=values), columns_of(row.values)),
            answer=self._answer(values),
        )

    def _renamed(self, values: dict[str, Any]) -> dict[str, Any]:
        """`values`, with every column that another copy names differently also under its name here."""
        found = {
            ours: values[name]
            for ours, theirs in self.config.aliases.items()
            for name in reversed(theirs)
            if values.get(ours) is None and name in values
        }
        return {**values, **found}

    def _turns(self, row: SourceRow, columns: str) -> tuple[str, ...]:
        if self.template is not None:
            try:
                text = self._without_repeats(self.template.render(row.values))
            except UndefinedError as error:
                raise InputError(
                    f"{row.where}: dataset.row.template: {error.message}; columns are {columns}"
                ) from error
            except (TemplateError, TypeError, ValueError, ArithmeticError) as error:  # of its operators and filters
                raise InputError(f"{row.where}: dataset.row.template: {error}") from error
            return texts([text], row.where, "the rendered template")
        names = list(self.config.turns or [])
        found = first_of(row.values, names)
        if found is None:
            raise InputError(f"{row.where}: expected the turns in {' or '.join(names)}, columns are {columns}")
        if isinstance(found, str) and found.startswith("[") and found.endswith("]"):
            raise InputError(f"{row.where}: its turns are a list written as text; use a copy in JSON or Parquet")
        return texts([found] if isinstance(found, str) else found, row.where, "turns")

    def _without_repeats(self, rendered: str) -> str:
        """`rendered`, without the template's own words if the row's text already includes them."""
        before, after = self.around
        text = rendered[len(before) : len(rendered) - len(after)]
        bare, start, end = (" ".join(part.split()) for part in (text, before, after))
        if len((start + " " + end).split()) > 1 and bare.startswith(start) and bare.endswith(end):
            return text
        return rendered

    def _category(self, values: Mapping[str, Any], where: str) -> str:
        own = name_from(values, [self.config.category] if self.config.category else [], where)
        return self.name if own is None else self.groups.get(own, own)

    def _answer(self, values: Mapping[str, Any]) -> Any:
        if isinstance(self.config.answer, str):
            return values.get(self.config.answer)
        kept = {name: values[name] for name in self.config.answer_columns if values.get(name) is not None}
        return kept or None


def literals(template: str) -> tuple[str, str]:
    """The literal text of `template` before its first column and after its last one."""
    body = ENVIRONMENT.parse(template).body
    outputs = [body[index] for index in (0, -1)] if body else []
    ends = [node.nodes[index] for node, index in zip(outputs, (0, -1), strict=False) if isinstance(node, nodes.Output)]
    if len(ends) < 2 or ends[0] is ends[1]:
        return "", ""
    before, after = (end.data if isinstance(end, nodes.TemplateData) else "" for end in ends)
    return before, after


def first_of(values: Mapping[str, Any], columns: list[str]) -> Any:
    """The value of the first of `columns` that the row has; None if it has none."""
    return next((values[name] for name in columns if values.get(name) is not None), None)
