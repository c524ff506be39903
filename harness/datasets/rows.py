"""Rows of a local file, one object each, with the place that an error can name: JSONL or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its columns, its number in the file (from 1), and where it stands, in words."""

    values: dict[str, Any]
    number: int
    where: str


def read_rows(path: Path) -> Iterator[Row]:
    """Every row of `path`; blank lines of a JSONL file are skipped. Raises InputError naming the line that is bad."""
    if not path.is_file():
        raise InputError(f"dataset.path={path}: expected a JSONL file, found {'a folder' if path.is_dir() else 'none'}")
    return _parquet_rows(path) if path.suffix in PARQUET else _json_rows(path)


def _json_rows(path: Path) -> Iterator[Row]:
    # Only line feeds end a line: a text may hold other separators.
    with path.open(encoding="utf-8", newline="\n") as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline()
            except UnicodeDecodeError as error:
                raise InputError(f"dataset.path={path}: not UTF-8 text ({error.reason})") from error
            if not line:
                return
            if line.strip():
                where = f"{path}, line {number}"
                yield Row(_object(line, where), number, where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield Row(values, number, f"{path}, row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"dataset.path={path}: no readable Parquet file ({str(error).splitlines()[0]})") from error
