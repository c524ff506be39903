r"""Answers that are a mathematical expression (MATH-500): equal in meaning, not in letters.

`math-verify` decides where it is installed (the `math` extra). Without it the last box is compared as text after
trivial differences are taken away: that misses answers written differently, and never passes a wrong one.
"""

from __future__ import annotations

import re
import threading
from importlib import metadata, util
from typing import Any

from harness.tasks.scoring.boxed import last_boxed

LIBRARY = "math-verify"
TIMEOUT_S = 30  # the first use compiles grammars, which a busy machine takes seconds for
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
    """What decides here, for the manifest."""
    return f"{LIBRARY} {metadata.version(LIBRARY)}" if has_library() else "text of the last box"


def expression_is_right(answer: Any, text: str) -> float:
    """1.0 when the answer that `text` settles on means the key, else 0.0."""
    if has_library():
        return float(_verified(str(answer), text))
    boxed = last_boxed(text)
    return float(boxed is not None and plain(boxed) == plain(str(answer)))


def _verified(answer: str, text: str) -> bool:
    from math_verify import parse, verify

    # The library's time limit is an alarm signal, which only the main thread can have.
    limit = TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
    gold = parse(f"\\boxed{{{answer}}}", parsing_timeout=limit)
    boxed = last_boxed(text)
    given = parse(text if boxed is None else f"\\boxed{{{boxed}}}", parsing_timeout=limit)
    return bool(verify(gold, given, timeout_seconds=limit))


def plain(expression: str) -> str:
    """An expression without spacing, units' marks and spelling variants that never change its meaning."""
    for pattern, replacement in SPELLINGS:
        expression = re.sub(pattern, replacement, expression)
    return expression
