r"""Finding the last `\boxed{...}` of an answer, braces inside it included."""

from __future__ import annotations

import re

OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")

#: What stands after a backslash is a character to be shown, a brace too.
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    """What the last complete box holds, None where there is none."""
    for match in reversed(list(OPENING.finditer(text))):
        depth = 1
        for brace in BRACE.finditer(text, match.end()):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                return text[match.end() : brace.start()].strip()
    return None
