r"""Compares mathematical expressions (MATH-500) by meaning.

`math-verify` decides if it is installed (the `math` extra). Otherwise the last box is compared as text without trivial
differences: this misses right answers in another form, and never passes a wrong one.
"""

from __future__ import annotations

import re
import threading
from importlib import metadata, util
from typing import Any

from harness.tasks.scoring.boxed import last_boxed

LIBRARY = "math-verify"
TIMEOUT_S = 30  # the first use compiles grammars: seconds on a busy machine
SPELLINGS = (
    (r"\\[dt]frac", r"\\frac"),
    (r"\\left(?![a-zA-Z])|\\right(?![a-zA-Z])|\\[,;!: ]|\\displaystyle|\\\$|\$|\s", ""),
    (r"\\text\{([^{}]*)\}", r"\1"),
    (r"\^\{?\\circ\}?|\\%|%", ""),
    (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\.0+$|\.$", ""),
)


def has_library() -> bool:
    """Whether math-verify is installed."""
    return util.find_spec("math_verify") is not None


def compares_by() -> str:
    """The method of comparison, for the manifest."""
    return f"{LIBRARY} {metadata.version(LIBRARY)}" if has_library() else "text of the last box"


def expression_is_right(answer: Any, text: str) -> float:
    """1.0 if the final answer of `text` equals the key in meaning, else 0.0."""
    if has_library():
        return float(_verified(str(answer), text))
    boxed = last_boxed(text)
    return float(boxed is not None and plain(boxed) == plain(str(answer)))


def _verified(answer: str, text: str) -> bool:
    from math_verify import parse, verify

    # The library's time limit is an alarm signal, which only the main thread can receive.
    limit = TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
    gold = parse(f"\\boxed{{{answer}}}", parsing_timeout=limit)
    boxed = last_boxed(text)
    given = parse(text if boxed is None else f"\\boxed{{{boxed}}}", parsing_timeout=limit)
    return bool(verify(gold, given, timeout_seconds=limit))


def plain(expression: str) -> str:
    """An expression without spacing, marks of units and spelling variants, none of which change its meaning."""
    for pattern, replacement in SPELLINGS:
        expression = re.sub(pattern, replacement, expression)
    return expression
