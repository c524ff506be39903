"""The prompts of a run: inline, from a local file, or from a published dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.tasks.hub import fetch_rows, published_name
from harness.tasks.mapping import RowMapping
from harness.tasks.prompts import Prompt, distinct, stratified
from harness.tasks.rows import SourceRow, read_rows
from harness.tasks.token_numbers import random_prompts


def load_prompts(config: DatasetConfig, seed: int) -> list[Prompt]:
    """The selected prompts, in the publisher's order. Raises InputError that names the row or the key."""
    prompts = read_prompts(config, seed)
    if config.categories is not None:
        known = {prompt.category for prompt in prompts}
        for category in config.categories:
            if category not in known:
                raise InputError(
                    f"dataset.categories={category}: not in {where_from(config)}, which has {', '.join(sorted(known))}"
                )
        prompts = [prompt for prompt in prompts if prompt.category in config.categories]
        if not prompts:
            raise InputError("dataset.categories=[]: expected at least one category, or null for all")
    return stratified(prompts, config.limit, seed)


def read_prompts(config: DatasetConfig, seed: int) -> list[Prompt]:
    """Every prompt of the dataset; `seed` makes random ones."""
    if config.random_tokens:
        return random_prompts(config.limit or 0, config.context_tokens or 0, seed)
    mapping = RowMapping(config.row, config.label, config.source.by_hand)
    prompts = distinct((mapping(row), row.where) for row in _rows(config, mapping.columns))
    if not prompts:
        raise InputError(f"{where_from(config)}: holds no row, expected at least one")
    return prompts


def where_from(config: DatasetConfig) -> str:
    """The source of the rows, in words."""
    if config.random_tokens:
        return "dataset.random_tokens"
    if config.path:
        return f"dataset.path={config.path}"
    return "dataset.prompts" if config.prompts else f"dataset.source={published_name(config.source)}"


def _rows(config: DatasetConfig, columns: Sequence[str]) -> Iterable[SourceRow]:
    if config.path:
        return read_rows(Path(config.path))
    if config.prompts:
        return [SourceRow(dict(v), n, f"dataset.prompts, entry {n}") for n, v in enumerate(config.prompts, start=1)]
    return fetch_rows(config.source, columns)
