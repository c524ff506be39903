"""The fit of a drafter and a target, from the two configs alone, before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drafters.errors import InputError
from drafters.geometry import text_config
from drafters.registry import kind_of, resolve


@dataclass(frozen=True, slots=True)
class Fit:
    """The limits of a fitting drafter: drafts per round, the block they come from, and notes on how it was read.

    A drafter that chains any number of drafts has none.
    """

    max_draft_tokens: int | None = None
    block_size: int | None = None
    notes: tuple[str, ...] = ()


def check_equal(key: str, what: str, mine: Any, wanted: Any, hint: str = "") -> None:
    """Raises InputError unless the drafter's entry is the target's."""
    if mine != wanted:
        raise InputError(f"{key}: the drafter's {what} is {mine}, expected {wanted} as in the target{hint}")


def check_fit(name: str, drafter: Any, target: dict[str, Any], key: str) -> Fit:
    """The limits of a drafter of the kind `name`; a control has none.

    `drafter` is the contents of its config.json, or the config of a model that is built already. `target` is the
    target's config.json, the whole or its text part. Raises InputError with the first reason why they do not fit.
    """
    check = kind_of(name).check
    found = Fit() if check is None else resolve(check)(drafter, text_config(target), key)
    assert isinstance(found, Fit)
    return found
