"""Storage of one layer's keys and values, addressed by position (`drafters.positions`)."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.base import KeyValueView
from drafters.positions import slots_of, write_rows


class LayerBuffer:
    """Keys and values [B, kv_heads, S, head_dim] of one layer: a ring in sliding layers, the whole run in full ones.

    Dtype and device are those of `like`.
    """

    def __init__(self, batch: int, heads: int, slots: int, head_dim: int, ring: bool, like: Tensor) -> None:
        self.keys = torch.zeros(batch, heads, slots, head_dim, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.ring = ring

    @property
    def slots(self) -> int:
        return self.keys.shape[2]

    def write(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Store rows [B, kv_heads, W, D] at `positions` [B, W]; every row of the batch at its own.

        Of more rows than there are slots only the last are stored, as a ring's earlier ones are never seen again.
        """
        size = self.slots
        if keys.shape[2] > size:
            keys, values, positions = keys[:, :, -size:], values[:, :, -size:], positions[:, -size:]
        slots = slots_of(positions, size, self.ring)  # [B, W]
        write_rows(self.keys, keys, slots)
        write_rows(self.values, values, slots)

    def row(self, row: int) -> LayerBuffer:
        """The same storage, seen as a batch of one."""
        view = object.__new__(LayerBuffer)
        view.keys, view.values, view.ring = self.keys[row : row + 1], self.values[row : row + 1], self.ring
        return view

    def view(self) -> KeyValueView:
        return KeyValueView(self.keys, self.values, self.ring)
