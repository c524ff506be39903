"""Rows of published datasets. `datasets` is imported here alone, and only when needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from drafters.errors import InputError
from harness.config import SourceConfig
from harness.tasks.files import PARQUET, SEPARATORS
from harness.tasks.rows import SourceRow


def fetch_rows(source: SourceConfig, columns: Sequence[str] = ()) -> Iterator[SourceRow]:
    """Every row of the published split, cut to `columns` if given. The library caches it, so a second run is offline.

    No code of the dataset is run. Raises InputError with the library's reason and a way around it.
    """
    name = published_name(source)
    try:
        table = _load(source)
    except ImportError as error:
        raise InputError(
            f"dataset.source={name}: the datasets package is not installed; or set dataset.path"
        ) from error
    except Exception as error:  # the library and the hub's client raise errors without a common base
        reason = str(error).strip().splitlines()
        raise InputError(
            f"dataset.source: {name} could not be fetched ({type(error).__name__}: {reason[0] if reason else ''}); "
            "set dataset.path to a local copy (JSON, CSV or Parquet)"
        ) from error
    kept = [column for column in columns if column in table.column_names]
    table = table.select_columns(kept) if kept else table
    for number, values in enumerate(table, start=1):
        yield SourceRow(dict(values), number, f"{name}, row {number}")


def published_name(source: SourceConfig) -> str:
    """The source in words: repository, config, split and revision, or its first file."""
    if source.hub is None:
        return str((source.files or ["nothing"])[0])
    part = " ".join(word for word in (source.config, source.split) if word)
    return f"{source.hub} ({part})" + (f" at {source.revision[:12]}" if source.revision else "")


def _load(source: SourceConfig) -> Any:
    from datasets import load_dataset

    if not source.files:
        return load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    suffixes = {suffix.lower() for suffix in PurePosixPath(source.files[0]).suffixes}
    kind = "parquet" if suffixes & set(PARQUET) else "csv" if suffixes & set(SEPARATORS) else "json"
    return load_dataset(kind, data_files=file_urls(source), split="train")


def file_urls(source: SourceConfig) -> list[str]:
    """Addresses of the source's files, at its revision if they belong to a repository."""
    if source.hub is None:
        return list(source.files or [])
    at = f"@{source.revision}" if source.revision else ""
    return [f"hf://datasets/{source.hub}{at}/{name}" for name in source.files or []]
