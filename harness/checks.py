"""Checks of single settings, in the words that all of them share: the key, its value, what was expected."""

from __future__ import annotations

import os
from collections.abc import Collection

from harness.errors import InputError


def one_of(value: object, allowed: Collection[str], key: str) -> None:
    """Raises InputError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError(f"{key}={value}: expected one of {', '.join(allowed)}")


def at_least(value: float | None, least: float, key: str) -> None:
    """Raises InputError when `value` is below `least`; None is no value."""
    if value is not None and value < least:
        raise InputError(f"{key}={value}: expected {least} or more")


def from_environment(name: str, default: int, least: int = 0) -> int:
    """The integer in an environment variable. Raises InputError for anything else, an empty one included."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{name}={text}: expected an integer from {least}, as accelerate launch and torchrun set it")
    return int(text)
