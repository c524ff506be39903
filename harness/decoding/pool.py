"""Keeps the decoder that each arm used last: storage, compilation and capture are paid once per arm, not per prompt.

Decoders are kept per target and drafter (None for the baseline) and freed with their target.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from weakref import WeakKeyDictionary

from drafters.base import Drafter
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.decoding.programs import Codes
from harness.target.target import Target


class Kept:
    """The decoders of one target, each with what it was made for, and the code of their compiled programs."""

    def __init__(self, target: Target) -> None:
        # A copy, which shares every module: were it the target itself, the entry would refer to its own weak key in
        # `_kept`, and neither would ever be freed.
        self.target = copy.copy(target)
        self.decoders: dict[Drafter | None, tuple[Hashable, Decoder]] = {}
        self.codes: WeakKeyDictionary[object, Codes] = WeakKeyDictionary()

    def codes_of(self, drafter: Drafter | None) -> Codes:
        """The compiled code of an arm, which outlives its decoder: another k and back compiles nothing again."""
        return self.codes.setdefault(self.target if drafter is None else drafter, {})


_kept: WeakKeyDictionary[Target, Kept] = WeakKeyDictionary()


def get(target: Target, drafter: Drafter | None, settings: DecodeSettings, batch_size: int, capacity: int) -> Decoder:
    """A decoder of `batch_size` rows of at least `capacity` positions: the kept one, or a new one where it is unfit.

    A drafter holds the rows of one decoder at a time, so the kept one is unfit once another decoder took its drafter.
    """
    kept = _kept.setdefault(target, Kept(target))
    made_for = (*settings.in_programs, batch_size, target.execution)
    known, decoder = kept.decoders.get(drafter, (None, None))
    if decoder is not None and known == made_for and decoder.capacity >= capacity and decoder.holds_its_drafter:
        return decoder
    drop(target, drafter)
    codes = kept.codes_of(drafter)
    decoder = Decoder(kept.target, drafter, settings, batch_size, capacity, target.execution, codes)
    kept.decoders[drafter] = (made_for, decoder)
    return decoder


def peek(target: Target, drafter: Drafter | None) -> Decoder:
    """The decoder that an arm used last. Raises KeyError where none is kept."""
    return _kept[target].decoders[drafter][1]


def drop(target: Target, drafter: Drafter | None) -> None:
    """Forget the decoder of one arm, as after an error that left its storage in an unknown state."""
    if target in _kept:
        _kept[target].decoders.pop(drafter, None)


def clear(target: Target) -> None:
    """Forget every decoder of `target`. Compiled code stays."""
    if target in _kept:
        _kept[target].decoders.clear()
