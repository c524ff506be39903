"""Projections of one input as one matrix product, where rounds are compiled.

Queries, keys and values are three products over one input, gate and up two. For a handful of tokens each is bound by
reading its weights, and no weights are read while a kernel starts or ends. Their weights are therefore laid end to end
and become views of that one matrix: nothing is stored twice.

Compiled, the first projection of a layer computes the whole product and the others take their shares. The product is
handed from one to the next through `Joined.product`, so they must be called in the order of the weights, inside one
compiled layer: the compiler then sees plain dataflow and the attribute is gone. Eagerly each computes its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from drafters.kernels.few_rows import linear
from drafters.kernels.forwards import is_plain_linear, replace_forward


class Joined:
    """One matrix [rows of all parts, H] and, while its product is being shared out, that product."""

    def __init__(self, parts: list[nn.Linear], undo: ExitStack) -> None:
        rows = [part.weight.shape[0] for part in parts]
        whole = parts[0].weight.new_empty(sum(rows), parts[0].weight.shape[1])
        self.ends = [sum(rows[: index + 1]) for index in range(len(rows))]
        self.product: Tensor | None = None
        for index, part in enumerate(parts):
            share = whole[self.ends[index] - rows[index] : self.ends[index]]
            share.copy_(part.weight)
            part.weight = nn.Parameter(share, requires_grad=False)  # frees the old one before the next is laid
            own: Any = part
            own.joined, own.share = self, index
            undo.callback(delattr, part, "joined")
            replace_forward(part, _forward, undo)
        self.whole = whole

    def take(self, x: Tensor, index: int) -> Tensor:
        """Part `index` of the product with `x` [..., H]; parts are taken in order."""
        if index == 0:
            self.product = linear(x, self.whole)
        assert self.product is not None, "parts are taken in order"
        product = self.product
        if index == len(self.ends) - 1:
            self.product = None
        return product[..., self.ends[index - 1] if index else 0 : self.ends[index]]


def _forward(part: Any, x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        return part.joined.take(x, part.share)
    return linear(x, part.weight)


@torch.no_grad()
def join_projections(layers: Iterable[Any], undo: ExitStack) -> None:
    """Join the projections of each of a Gemma 4 model's `layers` until `undo` is closed; weights stay views after it.

    Projections that are joined already, have a bias or are not plain linear layers stay.
    """
    for layer in layers:
        attention, mlp = layer.self_attn, layer.mlp
        of_attention = [getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj")]
        for group in (of_attention, [mlp.gate_proj, mlp.up_proj]):
            parts = [part for part in group if part is not None]
            if len(parts) > 1 and all(map(is_plain_linear, parts)):
                Joined(parts, undo)
