"""Rows of a local JSON, CSV or Parquet file: one object each, with its place for errors."""

from __future__ import annotations

import json
import lzma
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from drafters.errors import InputError
from harness.tasks.files import FORMATS, SEPARATORS, kind_of, open_text

#: Errors of reading compressed text from a cut or damaged file.
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row: its columns, its number in the file (from 1), and its place in words."""

    values: dict[str, Any]
    number: int
    where: str


def read_rows(path: Path) -> Iterator[SourceRow]:
    """Every row of `path`; blank lines of a JSONL file are skipped. Raises InputError that names the bad line."""
    kind = kind_of(path)
    if kind == ".parquet":
        return _parquet_rows(path)
    return _csv_rows(path, SEPARATORS[kind]) if kind in SEPARATORS else _json_rows(path)


def _json_rows(path: Path) -> Iterator[SourceRow]:
    with open_text(path) as file:
        number, begun = 0, False
        while line := _text(path, file, lines=1):
            number += 1
            if not line.strip():
                continue
            first, begun = not begun, True
            if first and line.lstrip().startswith("["):
                yield from _array_rows(path, line + _text(path, file))
                return
            where = f"{path}, line {number}"
            yield SourceRow(_object(_parsed(line, where), where), number, where)


def _array_rows(path: Path, text: str) -> Iterator[SourceRow]:
    for number, value in enumerate(_parsed(text, f"dataset.path={path}"), start=1):
        where = f"{path}, entry {number}"
        yield SourceRow(_object(value, where), number, where)


def _text(path: Path, file: IO[str], lines: int | None = None) -> str:
    try:
        return file.readline() if lines else file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"dataset.path={path}: not UTF-8 text ({error.reason}), expected {FORMATS}") from error
    except DAMAGED as error:
        raise InputError(f"dataset.path={path}: its compressed data cannot be read ({error})") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise InputError(
            f"{where}: not JSON ({error.msg} at {place}), expected one object per line, or one array of objects"
        ) from error
    except RecursionError as error:
        raise InputError(f"{where}: its JSON is nested too deeply to be read") from error
    except ValueError as error:  # a number
        raise InputError(f"{where}: its JSON cannot be read ({error})") from error


def _constant(name: str) -> None:
    """Several libraries write a missing cell as NaN."""
    if name != "NaN":
        raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is larger than any number")
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _csv_rows(path: Path, separator: str) -> Iterator[SourceRow]:
    """Rows of a CSV file. Every cell is text; an empty one is missing."""
    import pandas as pd

    try:
        with open_text(path) as file:
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, *DAMAGED) as error:  # pandas' errors, and bytes that are not UTF-8
        raise InputError(f"dataset.path={path}: no readable CSV file ({str(error).strip().splitlines()[0]})") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"dataset.path={path}: its rows have more cells than its first line has column names")
    for number, cells in enumerate(table.to_dict("records"), start=1):
        values = {str(name): cell if isinstance(cell, str) and cell != "" else None for name, cell in cells.items()}
        yield SourceRow(values, number, f"{path}, row {number}")


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with path.open("rb") as file:  # opened here: the library takes no path that is not UTF-8
            for batch in parquet.ParquetFile(file).iter_batches():
                for values in batch.to_pylist():
                    number += 1
                    yield SourceRow(values, number, f"{path}, row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"dataset.path={path}: no readable Parquet file ({str(error).splitlines()[0]})") from error
