"""Projections of one input as one matrix product, where rounds are compiled.

Queries, keys and values are three products over one input, gate and up two. For a handful of tokens each is bound by
reading its weights, and every start and end of a kernel is time in which nothing is read. Their weights are therefore
laid end to end, once, and become views of that one matrix: nothing is stored twice and the modules stay as they were.
Compiled, the first of them computes the whole product and the others take their share.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from drafters.kernels.few_rows import linear


class Joined:
    """One matrix [rows of all parts, H] and, while its product is being shared out, that product."""

    def __init__(self, parts: list[nn.Linear]) -> None:
        rows = [part.weight.shape[0] for part in parts]
        whole = parts[0].weight.new_empty(sum(rows), parts[0].weight.shape[1])
        self.ends = [sum(rows[: index + 1]) for index in range(len(rows))]
        self.product: Tensor | None = None
        for index, part in enumerate(parts):
            share = whole[self.ends[index] - rows[index] : self.ends[index]]
            share.copy_(part.weight)
            part.weight = nn.Parameter(share, requires_grad=False)  # frees what it was, before the next is laid
            own: Any = part
            own.forward, own.joined, own.share = MethodType(_forward, part), self, index
        self.whole = whole

    def take(self, x: Tensor, index: int) -> Tensor:
        """Part `index` of the product with `x` [..., H]; parts are asked for in order."""
        if index == 0:
            self.product = linear(x, self.whole)
        assert self.product is not None, "parts are asked for in order"
        product = self.product
        if index == len(self.ends) - 1:
            self.product = None
        return product[..., self.ends[index - 1] if index else 0 : self.ends[index]]


def _forward(part: Any, x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        return part.joined.take(x, part.share)
    return linear(x, part.weight)


@torch.no_grad()
def join_projections(layers: Iterable[Any]) -> None:
    """Join what can be in each of a Gemma 4 model's `layers`; what is joined already, or has a bias, stays."""
    for layer in layers:
        attention, mlp = layer.self_attn, layer.mlp
        of_attention = [getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj")]
        for group in (of_attention, [mlp.gate_proj, mlp.up_proj]):
            parts = [part for part in group if part is not None]
            plain = all(type(part) is nn.Linear and part.bias is None and "forward" not in vars(part) for part in parts)
            if plain and len(parts) > 1:
                Joined(parts)
