"""Rows of local files, JSONL or Parquet, with the place an error can name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.datasets.rows import read_rows
from harness.errors import InputError

ROWS: list[dict[str, Any]] = [{"question": "1?", "turns": ["a"]}, {"question": "2?", "turns": ["b", "c"]}]


def test_parquet_rows_are_those_of_jsonl(tmp_path: Path) -> None:
    lines, table = tmp_path / "rows.jsonl", tmp_path / "rows.parquet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    parquet.write_table(pa.Table.from_pylist(ROWS), table)
    assert [row.values for row in read_rows(lines)] == [row.values for row in read_rows(table)] == ROWS
    assert [row.where for row in read_rows(table)] == [f"{table}, row 1", f"{table}, row 2"]


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(InputError, match=r"rows\.parquet: no readable Parquet file"):
        list(read_rows(path))
