r"""Finds the last `\boxed{...}` of an answer, including braces inside it."""

from __future__ import annotations

import re

#: A box opens, or a brace opens or closes. After a backslash a brace is a printed character.
MARK = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    """The content of the last-opened complete box; None without one."""
    opened: list[tuple[bool, int]] = []  # (is it a box, start of its content)
    found: tuple[int, int] | None = None
    for mark in MARK.finditer(text):
        if mark["box"] or mark.group() == "{":
            opened.append((mark["box"] is not None, mark.end()))
        elif mark.group() == "}" and opened:
            is_box, start = opened.pop()
            if is_box and (found is None or start > found[0]):
                found = start, mark.start()
    return None if found is None else text[found[0] : found[1]].strip()
