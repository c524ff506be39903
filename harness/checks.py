"""Checks of single settings, in the words that all of them share: the key, its value, what was expected."""

from __future__ import annotations

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
