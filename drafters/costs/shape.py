"""Bytes and operations of a pass, and the least time that a device takes for them, from shapes alone.

Counted are the weights in use (each matrix once a pass, of a mixture the experts that the pass's rows choose), the rows
of embeddings that are looked up, and rows of keys and values. Norms and activations are left out: both are small, and a
floor may be too low but never too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A number, or one for each round.
Numbers = float | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """`count` like layers, each described in numbers stored (weights, elements), not in bytes.

    `kv` are the keys and values of one position, `attended` the query's numbers: heads times head width. A layer with
    a `window` sees that many positions; one that `keeps` its keys and values writes them, others read another layer's.
    Of `experts` of `expert` weights each, a row chooses `chosen`.
    """

    count: int
    weights: int
    kv: int = 0
    attended: int = 0
    window: int | None = None
    keeps: bool = True
    experts: int = 0
    chosen: int = 0
    expert: int = 0


@dataclass(frozen=True, slots=True)
class PassShape:
    """A pass: its layers, matrices beside them, numbers looked up for each row, and the head of the rows it scores.

    An ordered head looks up `gathered` numbers of its own for each scored row, beside the `head` that all rows share.
    """

    layers: tuple[LayerShape, ...] = ()
    weights: int = 0
    embedded: int = 0
    head: int = 0
    gathered: int = 0

    @property
    def numbers(self) -> int:
        """The weights that a pass of one row reads."""
        layers = sum(one.count * (one.weights + one.chosen * one.expert) for one in self.layers)
        return layers + self.weights + self.embedded + self.head + self.gathered


@dataclass(frozen=True, slots=True)
class DraftShape:
    """A drafter's passes of one round with k drafts.

    `block` runs once over k + `extra` rows and scores k of them; `each` runs once for every draft, one row at a time;
    `observed` runs over the verified rows, and over the prompt before the first round.
    """

    block: PassShape | None = None
    extra: int = 0
    each: PassShape | None = None
    observed: PassShape | None = None

    @property
    def numbers(self) -> int:
        """The weights that a round reads at least once."""
        return sum(one.numbers for one in (self.block, self.each, self.observed) if one is not None)


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes moved and floating-point operations."""

    bytes: Numbers
    operations: Numbers


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of a device: operations per second, and bytes per second for working sets of some sizes in bytes."""

    operations_per_s: float
    bandwidths: tuple[tuple[int, float], ...]

    def bytes_per_s(self, size: float) -> float:
        """The bandwidth of the measured working set that is nearest to `size` bytes, by their ratio."""
        return min(self.bandwidths, key=lambda one: abs(np.log(one[0] / max(size, 1.0))))[1]


def experts_read(experts: int, chosen: int, rows: Numbers) -> Numbers:
    """The expected number of different experts that `rows` rows choose, `chosen` each, independently of each other."""
    return experts * (1 - (1 - chosen / experts) ** rows)


def cost(
    shape: PassShape, width: Numbers, context: Numbers, *, batch: int = 1, scored: Numbers | None = None, size: int
) -> Cost:
    """The cost of a pass over `batch` sequences of `width` rows each, after `context` positions each.

    `scored` rows of each sequence go through the head, all by default; `size` is the bytes of a number.
    """
    rows = batch * width
    heads = rows if scored is None else batch * scored
    moved: Numbers = shape.weights + shape.head + rows * shape.embedded + heads * shape.gathered
    operations: Numbers = 2.0 * (rows * shape.weights + heads * (shape.head + shape.gathered))
    for one in shape.layers:
        past = context if one.window is None else np.minimum(context, one.window - 1)
        seen = context + (width + 1) / 2
        seen = seen if one.window is None else np.minimum(seen, one.window)
        weights, used = one.weights + 0.0 * rows, one.weights
        if one.experts:
            weights = weights + one.expert * experts_read(one.experts, one.chosen, rows)
            used += one.chosen * one.expert
        cached = batch * one.kv * (past + (width if one.keeps else 0))
        moved = moved + one.count * (weights + cached)
        operations = operations + one.count * (2.0 * rows * used + 4.0 * rows * seen * one.attended)
    return Cost(size * moved, operations)


def least_seconds(cost: Cost, bytes_per_s: float, operations_per_s: float) -> Numbers:
    """The floor of a pass: the larger of the time to move its bytes and the time to do its operations."""
    floor: Numbers = np.maximum(cost.bytes / bytes_per_s, cost.operations / operations_per_s)
    return floor


def draft_seconds(
    shape: DraftShape,
    drafted: Numbers,
    context: Numbers,
    *,
    k: int,
    batch: int = 1,
    size: int,
    rates: Rates,
    round_bytes: float,
) -> Numbers:
    """The floor of a round's drafting: `drafted` of at most `k` tokens after `context` positions.

    `round_bytes` are the weights of target and drafter: what is read once a round comes from a working set of that
    size, what is read for each draft from one of the drafter's own.
    """
    once, own = rates.bytes_per_s(round_bytes), rates.bytes_per_s(size * shape.numbers)
    seconds: Numbers = 0.0
    if shape.block is not None:
        block = cost(shape.block, k + shape.extra, context, batch=batch, scored=k, size=size)
        seconds = seconds + least_seconds(block, once, rates.operations_per_s)
    if shape.each is not None:
        step = least_seconds(cost(shape.each, 1, context, batch=batch, size=size), own, rates.operations_per_s)
        seconds = seconds + drafted * step
    if shape.observed is not None:
        seen = cost(shape.observed, drafted + 1, 0, batch=batch, size=size)
        seconds = seconds + least_seconds(seen, once, rates.operations_per_s)
    return seconds


def pass_shape(stored: Mapping[str, Any]) -> PassShape:
    """A pass from its record, as `dataclasses.asdict` gives it. Raises TypeError for unknown entries."""
    layers = tuple(LayerShape(**layer) for layer in stored.get("layers") or ())
    return PassShape(**{**stored, "layers": layers})


def draft_shape(stored: Mapping[str, Any]) -> DraftShape:
    """A drafter's passes from their record. Raises TypeError for unknown entries."""
    parts = {name: pass_shape(stored[name]) for name in ("block", "each", "observed") if stored.get(name)}
    return DraftShape(extra=int(stored.get("extra") or 0), **parts)


def rates_of(stored: Mapping[str, Any]) -> Rates:
    """Rates from their record. Raises ValueError where a rate is no positive number."""
    points: Sequence[Any] = stored["bandwidths"]
    rates = Rates(float(stored["operations_per_s"]), tuple((int(size), float(rate)) for size, rate in points))
    numbers = (rates.operations_per_s, *(number for point in rates.bandwidths for number in point))
    if not rates.bandwidths or not all(np.isfinite(number) and number > 0 for number in numbers):
        raise ValueError(f"rates are {dict(stored)!r}, expected positive numbers")
    return rates
