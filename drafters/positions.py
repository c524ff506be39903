"""The slot of each position in a buffer of keys and values, and the masks over slots.

Keys and values live at the slot of their position: a full buffer keeps position p at slot p, a ring of S slots at
p mod S. A rejected row is overwritten when its position is decoded again and masked until then, so a rollback moves a
length and copies nothing. A ring must hold at least `window + the widest pass` slots: then a slot whose computed
position is visible always holds that position's row (a stale row would stand for a position outside the window).
"""

from __future__ import annotations

import torch
from torch import Tensor


def slots_of(positions: Tensor, size: int, ring: bool) -> Tensor:
    """Slots [B, W] that hold `positions` [B, W]."""
    return positions % size if ring else positions


def write_rows(stored: Tensor, rows: Tensor, slots: Tensor) -> None:
    """Put `rows` [B, heads, W, D] into `stored` [B, heads, S, D] at each batch row's own `slots` [B, W], in place.

    As an indexed assignment: a compiled `scatter_` copies all that is stored to a new tensor and back.
    """
    if len(rows) == 1:
        stored.index_copy_(2, slots[0], rows)
    else:
        stored[torch.arange(len(rows), device=rows.device)[:, None], :, slots] = rows.transpose(1, 2)


def positions_of_slots(newest: Tensor, size: int, ring: bool) -> Tensor:
    """Position [B, S] (or [1, S]) that each slot holds once `newest` [B] has been written; negative is empty."""
    slots = torch.arange(size, device=newest.device)  # [S]
    if not ring:
        return slots[None, :]
    last = newest[:, None]  # [B, 1]
    return last - (last - slots) % size


def visible(
    queries: Tensor, stored: Tensor, *, horizon: Tensor | None = None, window: int | None = None
) -> Tensor:
    """Boolean mask [B, 1, L, S]: True where the query at `queries` [B, L] may see the row at `stored` [B|1, S].

    Causal when `horizon` is None; otherwise a query sees every row up to `horizon` [B], inclusive (a bidirectional
    block). `window` limits the distance to less than that many positions.
    """
    q = queries[:, None, :, None]  # [B, 1, L, 1]
    s = stored[:, None, None, :]  # [B, 1, 1, S]
    limit = q if horizon is None else horizon[:, None, None, None]
    mask = (s >= 0) & (s <= limit)
    if window is not None:
        mask = mask & (q - s < window)
        if horizon is not None:
            mask = mask & (s - q < window)
    return mask


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask as a summand of attention scores: 0 where visible, the most negative value of `dtype` elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
