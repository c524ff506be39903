"""What a layout is: how its config.json is recognised and read, and what network its tensors fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from drafters.errors import InputError


@dataclass(frozen=True)
class Layout:
    """One published kind of drafter folder. `key` in its functions is the config key that errors shall name."""

    name: str
    kind: str  # the drafter that runs it: "mtp" or "dflash"
    marker: str  # what tells it apart, for people
    matches: Callable[[dict[str, Any]], bool]
    parse: Callable[[dict[str, Any], str], Any]  # config.json -> DFlashConfig, or the assistant's transformers config
    build: Callable[[Any], nn.Module]  # parsed config -> network with unset weights
    optional: frozenset[str] = frozenset()  # tensors that a folder may leave out
    ignored: tuple[str, ...] = ()  # prefixes of tensors that only training needed


class Keys:
    """Reads a config.json entry by entry; what is missing or of the wrong type is an InputError that names it."""

    def __init__(self, key: str, what: str, *sources: dict[str, Any]) -> None:
        self.key, self.what, self.sources = key, what, sources

    def get(self, name: str, default: Any = None) -> Any:
        """The entry in the first source that has it and is not null."""
        values = (source[name] for source in self.sources if source.get(name) is not None)
        return next(values, default)

    def need(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise self.error(f"config.json has no {name}, which {self.what} needs")
        return value

    def whole(self, name: str) -> int:
        value = self.need(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(f"{name} is {value!r}, expected a whole number")
        return value

    def wholes(self, name: str) -> tuple[int, ...]:
        value = self.need(name)
        if not isinstance(value, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
            raise self.error(f"{name} is {value!r}, expected a list of whole numbers")
        return tuple(value)

    def number(self, name: str, default: float | None = None) -> float | None:
        value = self.get(name, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.error(f"{name} is {value!r}, expected a number")
        return None if value is None else float(value)

    def same(self, name: str) -> None:
        """Refuse an entry that two sources give differently: nobody can say which of them was meant."""
        values = [source[name] for source in self.sources if source.get(name) is not None]
        if any(value != values[0] for value in values):
            raise self.error(f"{name} is given twice, as {values[0]} and as {values[1]}")

    def error(self, message: str) -> InputError:
        return InputError(f"{self.key}: {message}")


def located(key: str, make: Callable[[], Any]) -> Any:
    """The result of `make`, with `key` put before the message of an InputError that names none."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def rope_theta(keys: Keys) -> float:
    """The base of a plain rotary embedding, in either of its spellings; scaled kinds are refused."""
    rope = keys.get("rope_parameters") or {}
    scaling = keys.get("rope_scaling") or {}
    kind = rope.get("rope_type", scaling.get("rope_type", "default"))
    if kind not in ("default", None):
        raise keys.error(f"rope_type is {kind!r}, expected 'default' (no scaling)")
    theta = rope.get("rope_theta", keys.get("rope_theta"))
    if theta is None:
        raise keys.error("config.json has neither rope_theta nor rope_parameters.rope_theta")
    return float(theta)


def architecture(raw: dict[str, Any]) -> str | None:
    names = raw.get("architectures") or [None]
    return names[0] if isinstance(names, list) else None
