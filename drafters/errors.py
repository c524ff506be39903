"""The error for a checkpoint or an option that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

#: Characters that end a line, steer a terminal, or that UTF-8 cannot write.
UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class InputError(ValueError):
    """The user's input cannot be run. The message is one line that names the value, the expectation and the key.

    It may quote the input, so it is made printable: `\\n` for a line's end, `\\ud800` for half a pair.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(UNPRINTABLE.sub(lambda found: ascii(found.group())[1:-1], str(message)))


def closest(word: str, among: Iterable[str]) -> str:
    """`, did you mean X?` where something close is known, else nothing."""
    found = get_close_matches(word, list(among), n=1, cutoff=0.6)
    return f", did you mean {found[0]}?" if found else ""
