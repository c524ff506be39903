"""Position-addressed key/value storage whose rollback costs nothing.

Full-attention layers keep a buffer as long as the run, sliding layers a ring of `window + widest pass` slots. The
verified length is not stored here: a row's positions say where its next rows go, and masks built from positions hide
rejected rows. See `drafters.positions` for why a stale row is never visible.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from drafters.buffers import LayerBuffer

RING_STEP = 8  # rows of a mask that are whole multiples of this suit attention kernels


def ring_slots(window: int, width: int) -> int:
    """Slots of a ring for passes of `width` tokens.

    One row more than the window itself is kept, because an assistant may look one row further back (drafters.mtp).
    """
    return -(-(window + width + 2) // RING_STEP) * RING_STEP


class LayerPass:
    """One layer's storage as a transformers attention module writes through it, for one pass at `positions` [B, W].

    It does not know which layer it belongs to, so layers of one kind are one program when they are compiled. A pass
    that is `wide` attends, in sliding layers, to the ring as it was followed by the pass itself.
    """

    def __init__(self, buffer: LayerBuffer | None, positions: Tensor, reach: int, wide: bool) -> None:
        self.buffer, self.positions, self.reach, self.wide = buffer, positions, reach, wide

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store rows [B, kv_heads, W, D] and return all that the pass may attend to."""
        buffer, positions = self.buffer, self.positions
        assert buffer is not None
        if buffer.ring and self.wide:
            before = buffer.keys.clone(), buffer.values.clone()
            buffer.write(keys, values, positions)
            return torch.cat((before[0], keys), dim=2), torch.cat((before[1], values), dim=2)
        buffer.write(keys, values, positions)
        if buffer.ring:
            return buffer.keys, buffer.values
        return buffer.keys[:, :, : self.reach], buffer.values[:, :, : self.reach]


class PositionCache:
    """The storage of all layers, for passes of up to `max_width` tokens.

    `positions` [B, W] must be set before a pass. A prefill chunk wider than `max_width` is marked
    `wide` for the layers, because a ring is too small to hold both it and what it attends to.
    """

    scratch = ("positions",)  # set by every pass for itself, so no program is made for what it holds

    def __init__(self, layers: list[LayerBuffer | None], capacity: int, max_width: int) -> None:
        self.layers = layers
        self.capacity = capacity
        self.max_width = max_width
        self.positions: Tensor | None = None
        self.reach = capacity  # full layers read the slots below this; a caller that knows the rows' lengths lowers it

    def row(self, row: int) -> PositionCache:
        """One row of the batch as a cache of its own, on the same storage."""
        return PositionCache([layer and layer.row(row) for layer in self.layers], self.capacity, self.max_width)

    def is_wide(self, width: int) -> bool:
        return width > self.max_width

    def at(self, layer: int) -> LayerPass:
        """The storage of layer `layer` for the pass at `positions`, as its attention module writes through it."""
        assert self.positions is not None
        return LayerPass(self.layers[layer], self.positions, self.reach, self.is_wide(self.positions.shape[1]))
