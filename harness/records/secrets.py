"""Takes credentials out of commands and settings before they are written down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SECRET_KEY = re.compile(
    r"(^|[.+_-])(api_?key|access_?key|private_?key|secret\w*|passw(or)?d|credentials?|authorization)$"
    r"|(^|[.+-])key$"  # not run_key
    r"|(^|[.+-]|(hub|hf|auth|access|api|refresh)_)token$",  # not mask_token
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"\b(hf_\w{8,}|sk-[\w-]{8,}|gh[pousr]_\w{8,}|local-\w{20,})\b")
URL_PASSWORD = re.compile(r"(://)[^/@\s]+@")


def redact(text: str) -> str:
    """`text` with `<redacted>` in place of anything that looks like a credential."""
    return SECRET_VALUE.sub("<redacted>", URL_PASSWORD.sub(r"\1<redacted>@", text))


def redact_command(arguments: Sequence[str]) -> list[str]:
    """A command line without the values of options that hold secrets."""
    clean: list[str] = []
    hide_next = False
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if hide_next:
            clean.append("<redacted>")
        elif equals and SECRET_KEY.search(key):
            clean.append(f"{key}=<redacted>")
        else:
            clean.append(redact(argument))
        hide_next = argument.startswith("--") and not equals and bool(SECRET_KEY.search(argument))
    return clean


def redact_tree(value: Any, key: str = "") -> Any:
    """Nested plain values without secrets, recognised by key and by look."""
    if isinstance(value, dict):
        return {name: redact_tree(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(inner, key) for inner in value]
    if isinstance(value, str):
        return "<redacted>" if value and SECRET_KEY.search(key) else redact(value)
    return value
