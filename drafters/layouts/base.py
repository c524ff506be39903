"""A layout: the recognition and reading of its config.json, and the network that its tensors fill."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from drafters.errors import InputError
from drafters.layouts.harmless import is_harmless


@dataclass(frozen=True)
class Layout:
    """One published kind of drafter folder. Errors of its functions name the config key `key`."""

    name: str
    kind: str  # the drafter that runs it, a name of drafters.registry
    marker: str  # its distinguishing entries, in words
    matches: Callable[[dict[str, Any]], bool]
    parse: Callable[[dict[str, Any], str], Any]  # config.json -> DFlashConfig, or the assistant's transformers config
    build: Callable[[Any], nn.Module]  # parsed config -> network with unset weights
    optional: frozenset[str] = frozenset()  # tensors that a folder may leave out
    ignored: tuple[str, ...] = ()  # prefixes of tensors that only training needed


class Keys:
    """Reads a config.json entry by entry. Raises InputError naming an entry that is missing or of the wrong type.

    It remembers the entries that were read, so that `close` can refuse the others.
    """

    def __init__(self, key: str, what: str, *sources: dict[str, Any]) -> None:
        self.key, self.what, self.sources = key, what, sources
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """The entry in the first source that has it and is not null."""
        self.asked.add(name)
        values = (source[name] for source in self.sources if source.get(name) is not None)
        return next(values, default)

    def need(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise self.error(f"config.json has no {name}, which {self.what} needs")
        return value

    def whole(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        value = self.need(name) if default is None else self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            kind = f"a whole number of at least {least}" if least else "a whole number"
            raise self.error(f"{name} is {value!r}, expected {kind}")
        return value

    def maybe(self, name: str, *, least: int = 0) -> int | None:
        """A whole number, or None where there is no such entry."""
        return None if self.get(name) is None else self.whole(name, least=least)

    def wholes(self, name: str) -> tuple[int, ...]:
        value = self.need(name)
        if not isinstance(value, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
            raise self.error(f"{name} is {value!r}, expected a list of whole numbers")
        return tuple(value)

    def words(self, name: str) -> tuple[str, ...] | None:
        value = self.get(name)
        if value is not None and (not isinstance(value, list) or not all(isinstance(word, str) for word in value)):
            raise self.error(f"{name} is {value!r}, expected a list of names")
        return None if value is None else tuple(value)

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        value = self.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"{name} is {value!r}, expected true or false")
        return value

    def number(self, name: str, default: float | None = None) -> float | None:
        value = self.get(name, default)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            raise self.error(f"{name} is {value!r}, expected a number")
        return None if value is None else float(value)

    def same(self, name: str) -> None:
        """Raises InputError for an entry that two sources give differently."""
        values = [source[name] for source in self.sources if source.get(name) is not None]
        if any(value != values[0] for value in values):
            raise self.error(f"{name} is given twice, as {values[0]} and as {values[1]}")

    def knows(self, *names: str) -> None:
        """Count `names` as read: nothing in the network depends on them."""
        self.asked.update(names)

    def close(self, *sources: dict[str, Any]) -> None:
        """Raises InputError for an entry of `sources`, else of its own, that is unread and may change the network."""
        for source in sources or self.sources:
            for name, value in source.items():
                if name not in self.asked and not is_harmless(name, value):
                    raise self.error(
                        f"config.json has {name}={_brief(value)}, which is not known for {self.what} and may change "
                        "what it computes; expected it left out, or listed in drafters/layouts/harmless.py"
                    )

    def error(self, message: str) -> InputError:
        return InputError(f"{self.key}: {message}")


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def located(key: str, make: Callable[[], Any]) -> Any:
    """The result of `make`; an InputError gets `key` in front of its message."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def section(raw: dict[str, Any], name: str, key: str) -> dict[str, Any]:
    """The object `name` of a config.json, empty where there is none."""
    value = raw.get(name)
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{key}: {name} is {value!r}, expected an object")
    return value or {}


def rope_theta(keys: Keys) -> float:
    """The base of a plain rotary embedding, in either of its spellings. Raises InputError for a scaled one."""
    given = {name: keys.get(name) or {} for name in ("rope_parameters", "rope_scaling")}
    for name, rope in given.items():
        if not isinstance(rope, dict):
            raise keys.error(f"{name} is {rope!r}, expected an object")
        kind = rope.get("rope_type", rope.get("type"))
        if kind not in ("default", None):
            raise keys.error(f"rope_type is {kind!r}, expected 'default' (no scaling)")
        Keys(keys.key, f"the {name} of {keys.what}", {}).close(
            {entry: value for entry, value in rope.items() if entry not in ("rope_type", "type", "rope_theta")}
        )
    bases = Keys(keys.key, keys.what, *given.values(), {"rope_theta": keys.get("rope_theta")})
    theta = bases.number("rope_theta")
    if theta is None:
        raise keys.error("config.json has neither rope_theta nor rope_parameters.rope_theta")
    if theta <= 0:
        raise keys.error(f"rope_theta is {theta:g}, expected a positive number")
    return theta


def architecture(raw: dict[str, Any]) -> str | None:
    names = raw.get("architectures") or [None]
    return names[0] if isinstance(names, list) else None
