r"""Finding the last `\boxed{...}` of an answer, braces inside it included."""

from __future__ import annotations

import re

OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")


def last_boxed(text: str) -> str | None:
    """What the last complete box holds, None where there is none."""
    for match in reversed(list(OPENING.finditer(text))):
        depth = 1
        for index in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[index], 0)
            if depth == 0:
                return text[match.end() : index].strip()
    return None
