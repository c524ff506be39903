"""Every wiring of a drafter, by its class."""

from __future__ import annotations

from typing import Any

from drafters.dflash.drafter import DFlashDrafter
from drafters.errors import InputError
from drafters.geometry import text_config
from drafters.mtp import MTPDrafter
from drafters.wirings.base import Wiring
from drafters.wirings.block import BlockWirings
from drafters.wirings.chained import ChainedWirings


def wirings_of(drafter: Any, target: dict[str, Any]) -> list[Wiring]:
    """The wiring as read, then those that people get wrong, applicable or not. `target` is its config.json.

    Raises InputError for a drafter without a network to join.
    """
    text = text_config(target)
    if isinstance(drafter, DFlashDrafter):
        return list(BlockWirings(drafter, text).all())
    if isinstance(drafter, MTPDrafter):
        return list(ChainedWirings(drafter, text).all())
    raise InputError(f"drafter {getattr(drafter, 'name', drafter)} has no wiring to look at, expected mtp or dflash")
