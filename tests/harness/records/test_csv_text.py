"""A CSV holds text and numbers, and no formulas."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.records.csv_text import csv_text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_that_a_spreadsheet_would_run_stays_text(start: str) -> None:
    text = f'{start}HYPERLINK("http://elsewhere")'
    found = pd.read_csv(io.StringIO(csv_text(pd.DataFrame({"category": [text, "code"]}))))
    assert found["category"].tolist() == [f"'{text}", "code"]


def test_numbers_stay_as_they_are() -> None:
    table = pd.DataFrame({"float": [-1.5, 2.0], "mixed": pd.Series([-3, None], dtype=object), "whole": [-1, 7]})
    assert csv_text(table) == "float,mixed,whole\n-1.5,-3,-1\n2.0,,7\n"


def test_an_empty_table_is_its_header_and_half_a_surrogate_pair_is_written() -> None:
    assert csv_text(pd.DataFrame(columns=["a", "b"])) == "a,b\n"
    assert csv_text(pd.DataFrame({"a": pd.Series(["\ud83d"], dtype=object)})) == "a\n?\n"


def test_no_other_module_writes_csv() -> None:
    sources = Path(harness.__file__).parent.rglob("*.py")
    writers = {path.name for path in sources if re.search(r"to_csv|csv\.(Dict)?[wW]riter", path.read_text("utf-8"))}
    assert writers == {"csv_text.py"}
