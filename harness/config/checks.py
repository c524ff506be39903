"""Checks of single settings. Their errors share one form: the key, its value, the expectation."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from typing import Any

from drafters.errors import InputError

#: The largest count that every library can hold.
LARGEST = 2**31 - 1
LARGEST_SEED = 2**64 - 1
#: Scores divided by a smaller temperature overflow float32, and infinite scores are no distribution.
LEAST_TEMPERATURE = 1e-30


def one_of(value: object, allowed: Collection[str], key: str) -> None:
    """Raises InputError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError(f"{key}={value}: expected one of {', '.join(allowed)}")


def at_least(value: float | None, least: float, key: str, most: float = math.inf) -> None:
    """Raises InputError unless `value` is a finite number from `least` to `most`; None is no value."""
    if value is None:
        return
    if not value >= least:  # NaN is not, either
        raise InputError(f"{key}={value}: expected {least} or more")
    if value > most or math.isinf(value):
        raise InputError(f"{key}={value}: expected {'a finite number' if math.isinf(most) else f'{most} or less'}")


def count(value: int | None, key: str, least: int = 1) -> None:
    """Raises InputError unless `value` is from `least` to LARGEST; None is no value."""
    at_least(value, least, key, LARGEST)


def is_temperature(value: float) -> bool:
    """Whether `value` is 0, for greedy decoding, or a temperature by which scores can be divided."""
    return value == 0 or LEAST_TEMPERATURE <= value < math.inf


def check_seed(value: int, key: str = "seed") -> None:
    """Raises InputError for a seed that does not fit into 64 bits."""
    if not 0 <= value <= LARGEST_SEED:
        raise InputError(f"{key}={value}: expected 0 or more, and at most {LARGEST_SEED} (64 bits)")


def only_numbers(value: Any, key: str) -> None:
    """Raises InputError for a number below `key` that is NaN, infinite or wider than 64 bits, in any depth."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            only_numbers(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            only_numbers(item, f"{key}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{key}={value}: expected a finite number")
    elif isinstance(value, int) and abs(value) > LARGEST_SEED:
        raise InputError(f"{key}={value}: expected a number of 64 bits")


def from_environment(name: str, default: int, least: int = 0) -> int:
    """The integer in an environment variable. Raises InputError for anything else, an empty one included."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{name}={text}: expected an integer from {least}, as accelerate launch and torchrun set it")
    return int(text)
