"""Tables as CSV text that is safe to open in a spreadsheet: text and numbers, no formulas."""

from __future__ import annotations

from typing import Any

import pandas as pd

#: A spreadsheet runs a cell that begins with one of these as a formula, or looks for one behind the white space.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(table: pd.DataFrame) -> str:
    """`table` as CSV, one line per row; an apostrophe stands before texts that a spreadsheet would run.

    Numbers stay as they are, negative ones too. Characters that UTF-8 cannot write become question marks.
    """
    safe = pd.DataFrame({name: _inert(column) for name, column in table.items()}, columns=table.columns)
    return str(safe.to_csv(index=False, lineterminator="\n")).encode("utf-8", "replace").decode("utf-8")


def _inert(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    # As objects, so that a column of counts with a gap does not turn into floats.
    return pd.Series([_inert_cell(value) for value in column], index=column.index, dtype=object)


def _inert_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
