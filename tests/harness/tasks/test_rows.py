"""Rows of local files, JSON, CSV or Parquet, with the place an error can name."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.tasks.dataset import load_prompts
from harness.tasks.rows import read_rows

ROWS: list[dict[str, Any]] = [{"question": "1?", "turns": ["a"]}, {"question": "2?", "turns": ["b", "c"]}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def values(path: Path) -> list[dict[str, Any]]:
    return [row.values for row in read_rows(path)]


def written(folder: Path, content: str | bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_prompts(DatasetConfig(path=str(path)), 0)
    assert "\n" not in str(error.value)
    str(error.value).encode()
    return str(error.value)


def test_parquet_rows_are_those_of_jsonl(tmp_path: Path) -> None:
    lines, table = written(tmp_path, LINES), tmp_path / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS), table)
    assert values(lines) == values(table) == ROWS
    assert [row.where for row in read_rows(table)] == [f"{table}, row 1", f"{table}, row 2"]
    assert values(table.rename(tmp_path / "data")) == ROWS, "known by its first bytes"


def test_files_and_folders_whose_names_are_not_utf_8_are_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    lines = written(folder, LINES, os.fsdecode(b"r\xe9.jsonl"))
    config = DatasetConfig(path=str(lines))
    assert [prompt.prompt_id for prompt in load_prompts(config, 0)] == ["r\ufffd-1", "r\ufffd-2"]
    assert config.label == "r\ufffd"
    with (folder / "table").open("wb") as file:
        parquet.write_table(pa.Table.from_pylist(ROWS), file)
    assert values(folder / "table") == ROWS


def test_an_array_is_read_as_its_entries(tmp_path: Path) -> None:
    for name, text in [("rows.json", json.dumps(ROWS)), ("long.json", "\ufeff\n" + json.dumps(ROWS, indent=2))]:
        path = written(tmp_path, text, name)
        assert values(path) == ROWS
        assert [row.where for row in read_rows(path)] == [f"{path}, entry 1", f"{path}, entry 2"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows"])
def test_compressed_files_are_read_whatever_their_name(
    tmp_path: Path, compress: Callable[[bytes], bytes], name: str
) -> None:
    assert values(written(tmp_path, compress(LINES.encode()), name)) == ROWS
    assert "its compressed data cannot be read" in refusal(written(tmp_path, compress(LINES.encode() * 99)[:-9], name))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert values(written(tmp_path, "\ufeff" + LINES)) == ROWS
    assert values(written(tmp_path, "\ufeffquestion,answer\na,b\n", "rows.csv")) == [{"question": "a", "answer": "b"}]


def test_csv_cells_are_text_as_written_and_empty_ones_are_missing(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["007", "1e3"], "question": ['a "b",\nc', "NA"], "answer": ["18.0", ""]})
    wanted = [
        {"id": "007", "question": 'a "b",\nc', "answer": "18.0"},
        {"id": "1e3", "question": "NA", "answer": None},
    ]
    plain = written(tmp_path, table.to_csv(index=False), "rows.csv")
    assert values(plain) == wanted
    assert values(written(tmp_path, gzip.compress(table.to_csv(index=False).encode()), "rows.csv.gz")) == wanted
    assert values(written(tmp_path, table.to_csv(index=False, sep="\t"), "rows.tsv")) == wanted
    assert [prompt.prompt_id for prompt in load_prompts(DatasetConfig(path=str(plain)), 0)] == ["007", "1e3"]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"PAR1 not really PAR1", "rows.parquet", "no readable Parquet file"),
        ("a,b\n1,2,3\n", "rows.csv", "its rows have more cells"),
        ("a,b\n1,2\n1,2,3\n", "rows.csv", "no readable CSV file (Error tokenizing data"),
        ("", "rows.csv", "no readable CSV file (No columns"),
        (b"question\n\xff\n", "rows.csv", "no readable CSV file"),
        ('[{"prompt": "a"},]', "rows.json", "not JSON"),
        ('[{"prompt": "a"}]\n[1]', "rows.jsonl", "not JSON (Extra data at line 2"),
        ("[1]", "rows.json", "entry 1: expected a JSON object, found int"),
        ("[]", "rows.json", "holds no row"),
        ('{\n "prompt": "a"}', "rows.json", "expected one object per line, or one array of objects"),
        ("[" * 100_000, "rows.json", "its JSON is nested too deeply"),
        ('{"prompt": ' + "[" * 100_000, "rows.jsonl", "line 1: its JSON is nested too deeply"),
        ('{"prompt": "a", "answer": ' + "9" * 5000 + "}", "rows.jsonl", "line 1: its JSON cannot be read"),
        ('{"prompt": "a", "answer": 1e999}', "rows.jsonl", "line 1: its JSON cannot be read (1e999 is larger"),
        ('{"prompt": "a", "answer": -Infinity}', "rows.jsonl", "-Infinity is no JSON number"),
        ("version https://git-lfs.github.com/spec/v1\n", "rows.jsonl", "a Git LFS pointer, not the data"),
        ("<!DOCTYPE html>", "rows.csv", "a web page, not the data"),
        (b"PK\x03\x04", "rows.json", "a ZIP archive"),
        ("{}".encode("utf-16"), "rows.json", "UTF-16 text"),
        ('{"\\ud800": 1}', "rows.jsonl", "found \\ud800"),
    ],
)
def test_a_file_without_data_is_named(tmp_path: Path, content: str | bytes, name: str, message: str) -> None:
    path = written(tmp_path, content, name)
    found = refusal(path)
    assert message in found and str(path) in found


def test_a_cell_that_is_not_a_number_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, '{"prompt": "a", "answer": NaN, "id": NaN}')
    [prompt] = load_prompts(DatasetConfig(path=str(path)), 0)
    assert (prompt.prompt_id, prompt.answer) == ("rows-1", None)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ('{"prompt": "a \\ud83d"}', "text"),
        ('{"messages": [{"role": "system", "content": "\\udc00"}, {"role": "user", "content": "a"}]}', "text"),
        ('{"prompt": "a", "id": "\\ud83d"}', "id"),
        ('{"prompt": "a", "category": "\\ud83d"}', "category"),
        ('{"prompt": "a", "answer": {"test": ["\\ud83d"]}}', "answer"),
    ],
)
def test_half_a_surrogate_pair_is_refused_by_its_line(tmp_path: Path, row: str, field: str) -> None:
    found = refusal(written(tmp_path, '{"prompt": "\\ud83d\\ude00"}\n' + row))
    assert "rows.jsonl, line 2: its " + field + " holds half a surrogate pair ('\\ud" in found
