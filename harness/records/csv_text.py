"""Tables as CSV text in which a spreadsheet finds text and numbers, and no formula."""

from __future__ import annotations

from typing import Any

import pandas as pd

#: A cell that begins with one of these is run as a formula, or hides one behind white space.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(table: pd.DataFrame) -> str:
    """`table` as CSV, one line per row. Texts that a spreadsheet would run begin with an apostrophe instead.

    Numbers stay as they are, negative ones too. What UTF-8 cannot write becomes a question mark.
    """
    safe = pd.DataFrame({name: _inert(column) for name, column in table.items()}, columns=table.columns)
    return str(safe.to_csv(index=False, lineterminator="\n")).encode("utf-8", "replace").decode("utf-8")


def _inert(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    # As objects: a column of counts with a gap must not turn into floats.
    return pd.Series([_inert_cell(value) for value in column], index=column.index, dtype=object)


def _inert_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
