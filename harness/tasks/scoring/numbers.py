"""Compares answers that are one number (GSM8K, AIME).

Ambiguous forms are read as follows: a comma before exactly three digits groups thousands (`1,000`), any other comma
stands before decimals (`5,6`, `0,125`). Points group only if there are several (`1.234.567`), spaces only if every
group after the first has three digits (`1 000 000`). `2 1/2` is two and a half. A percent sign, a currency and a unit
are not part of the number: `50%` is 50.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from harness.tasks.scoring.boxed import last_boxed

#: Reduces alternative notations to the one that the pattern below knows.
SPELLINGS = (
    (r"\\[,!;:]", ""),
    (r"\{,\}", ","),
    (r"\\ |~", " "),
    (r"(?<=\d)([½⅓⅔¼¾⅕⅛⅜⅝⅞])", r" \1"),
    (r"([-−])?\\[dtc]?frac\s*(?:\{\s*([-−])?\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|()(\d)\s*(\d))", r" \1\2\3\6/\4\7 "),
    (r"\\times(?![a-z])|\\cdot(?![a-z])|×|·", "*"),
    (r"\*\*", "^"),
    (r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", r"^\1"),
    (r"\^\s*\{\s*([-−+]?\d+)\s*\}", r"^\1"),
    (r"([-−–+])\s?\\?[$€£¥₹]\s?", r"\1"),
    (r"\\?[$€£¥₹]", " "),
)
CHARACTERS = str.maketrans(
    {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5"}
    | {"⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⁄": "/"}
    | dict.fromkeys("−﹣－", "-")
    | dict.fromkeys("\u00a0\u2009\u202f", " ")
    | dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
)
# An exponent, an index and the rest of a longer number begin no number. A sign counts only at the start: the 12 of
# `10-12` is not negative.
NUMBER = re.compile(
    r"""
    (?:(?<![\w)\]}])(?P<sign>[-+–]))?
    (?<![\d^_])(?<!\d\.)(?<![\^_]\{)(?<!\^[-+])
    (?P<value>
        (?<!\d,) [1-9]\d{0,2} (?:,\d{3})+ (?:\.\d+)? (?!\d|,\d)
      | (?<!\d,) [1-9]\d? (?:,\d{2})+ ,\d{3} (?:\.\d+)? (?!\d|,\d)
      | [1-9]\d{0,2} (?:[ '’_]\d{3})+ (?:[.,]\d+)? (?!\d)
      | [1-9]\d{0,2} (?:\.\d{3}){2,} (?:,\d+)? (?!\d|\.\d)
      | [1-9]\d{0,2} \.\d{3} ,\d+ (?!\d|[.,]\d)
      | (?<!\d,) \d+ ,\d+ (?!\d|[.,]\d)
      | \d+ (?:\.\d+)?
      | \.\d+
    )
    (?: [eE](?P<e>[-+]?\d+)(?!\w) | \s*\*\s*10\s*\^\s*(?P<ten>[-+]?\d+) | \s*\^\s*(?P<power>[-+]?\d+)
      | (?P<part>\s+\d+\s*/\s*\d+) | \s*/\s*(?P<under>\d+) )?
    """,
    re.VERBOSE,
)
FINAL_MARK = re.compile(r"####\s*(.+)")
#: Words inside LaTeX, and remarks: a number in them is the answer only if there is none outside.
REMARKS = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{[^{}]*\}|\([^()]*\)")
#: Next to these, a number is only a factor.
IRRATIONAL = re.compile(r"\\(?:pi|sqrt|ln|log|infty)(?![a-zA-Z])|[π√∞]")
MOST_POWER = 1000  # a larger power is no answer, and would exhaust the memory


def number_is_right(answer: Any, text: str) -> float:
    """1.0 if the final number of `text` equals the key, else 0.0. Raises ValueError for a key without one.

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
        raise ValueError(f"the answer key {answer!r} holds no number, or more than one")
    return found


def final_number(text: str) -> Fraction | None:
    """The final number of a worked answer: in the last box, else in the last `####` line, else the last number."""
    boxed = last_boxed(text)
    if boxed is not None:
        return read_number(boxed)
    marked = FINAL_MARK.findall(text)
    if marked:
        return read_number(marked[-1])
    found = list(NUMBER.finditer(tidy(text)))
    return exact(found[-1]) if found else None


def read_number(text: str) -> Fraction | None:
    """The only number in a short answer, which may carry a unit, a currency or LaTeX around it.

    An equation gives the number of its last side. An answer with two different numbers gives None.
    """
    if IRRATIONAL.search(text):
        return None
    for answer in (REMARKS.sub(" ", text), text):
        sides = [re.sub(r"^\s*([-−–])\s+(?=[\d.])", r"\1", side) for side in re.split("[=≈]", tidy(answer))]
        numbers = [found for side in sides if (found := [exact(match) for match in NUMBER.finditer(side)])]
        if numbers:
            return numbers[-1][0] if len(set(numbers[-1])) == 1 else None
    return None


def tidy(text: str) -> str:
    """`text` with numbers in the one notation that NUMBER knows."""
    for pattern, replacement in SPELLINGS:
        text = re.sub(pattern, replacement, text)
    return text.translate(CHARACTERS)


def exact(found: re.Match[str]) -> Fraction | None:
    """The exact value of a written number: `1,200`, `-0.5`, `3/4`, `1.5e3`, `2 1/2`. None if it has no value."""
    try:
        value = Fraction(Decimal(decimal(found["value"])))
        power = int(found["e"] or found["ten"] or found["power"] or 0)
        if abs(power) > MOST_POWER:
            return None
        if found["power"]:
            value = value**power
        elif power:
            value *= Fraction(10) ** power
        if found["part"]:
            value += Fraction(re.sub(r"\s", "", found["part"]))
        if found["under"]:
            value /= int(found["under"])
    except (InvalidOperation, ValueError, ZeroDivisionError):  # ValueError: more digits than Python reads
        return None
    return -value if found["sign"] in ("-", "–") else value


def decimal(written: str) -> str:
    """A written value with a decimal point and without separators of thousands."""
    bare = re.sub(r"[ '’_]", "", written)
    if bare.count(".") > 1 or ("," in bare and "." in bare and bare.index(".") < bare.index(",")):
        return bare.replace(".", "").replace(",", ".")
    grouped = re.fullmatch(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?", bare)
    return bare.replace(",", "" if grouped else ".")
