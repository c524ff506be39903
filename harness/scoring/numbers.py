"""Answers that are one number: GSM8K's, AIME's."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from harness.scoring.boxed import last_boxed

# A sign counts only where it follows nothing: the 12 of `10-12` is not negative.
NUMBER = re.compile(r"(?:(?<![\w)\]])[-−+])?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?")
FINAL_MARK = re.compile(r"####\s*(.+)")


def number_is_right(answer: Any, text: str) -> float:
    """1.0 when the number that `text` settles on equals the key, else 0.0. Raises ValueError for a key without one.

    The key is a number, or a text that holds one (GSM8K's stands after `####`).
    """
    key = key_number(answer)
    given = final_number(text)
    return float(given is not None and given == key)


def key_number(answer: Any) -> Fraction:
    """The number of an answer key."""
    marked = FINAL_MARK.search(str(answer))
    found = read_number(marked.group(1) if marked else str(answer))
    if found is None:
        raise ValueError(f"the answer key {answer!r} holds no number")
    return found


def final_number(text: str) -> Fraction | None:
    """The number that a worked answer ends in: the last box, else the last `####` line, else the last number of all."""
    boxed = last_boxed(text)
    if boxed is not None:
        return read_number(boxed)
    marked = FINAL_MARK.findall(text)
    if marked:
        return read_number(marked[-1])
    found = NUMBER.findall(text)
    return exact(found[-1]) if found else None


def read_number(text: str) -> Fraction | None:
    """The only number in a short answer, which may carry a unit, a currency or LaTeX around it."""
    plain = re.sub(r"\\d?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", text)
    plain = re.sub(r"\\[,!;]|\{,\}", "", plain)
    found = NUMBER.findall(plain)
    return exact(found[-1] if "=" in plain else found[0]) if found else None


def exact(written: str) -> Fraction | None:
    """A written number as an exact one: `1,200`, `-0.5`, `3/4`."""
    upper, _, lower = written.replace(",", "").replace("−", "-").partition("/")
    try:
        value = Fraction(Decimal(upper.strip()))
        return value / int(lower) if lower.strip() else value
    except (InvalidOperation, ZeroDivisionError):
        return None
