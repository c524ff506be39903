"""Where the numbers of a graph's nodes lie, and what its operations do to that.

The places are a tensor, to which views and transpositions are applied like to the numbers themselves: what they do need
not be understood, only checked.
"""

# mypy: disable-error-code="union-attr, arg-type, index, operator, misc, assignment"
# The arguments of a graph's nodes are of any type.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from harness.decoding.compiled.code import Ref
from harness.decoding.compiled.steps import is_

aten = torch.ops.aten
#: Operations that move no number, or only where it lies.
VIEWS = (
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dim,
    aten.transpose.int, aten.permute.default, aten.clone.default, aten.contiguous.default, aten.alias.default,
    aten.slice.Tensor, aten.select.int, aten.expand.default,
)  # fmt: skip


FRESH = (
    aten.zeros.default, aten.mean.dim, aten.mm.default, aten.mul.Tensor, aten.add.Tensor, aten.div.Tensor,
    aten.tanh.default, aten._unsafe_view.default,
)  # fmt: skip


@dataclass(eq=False)
class Place:
    """Where a node's numbers lie: `at` has the index of each in the value `ref`, of rows of `ref.width` numbers."""

    ref: Ref
    at: Tensor

    def window(self, *, any_order: bool = False) -> Ref | None:
        """The columns that it takes of every row, if it takes these alone: in order, or in `any_order`."""
        rows, flat = self.ref.rows, self.at.reshape(-1)
        if flat.numel() % rows:
            return None
        width, first = flat.numel() // rows, int(flat.min())
        wanted = (torch.arange(rows)[:, None] * self.ref.width + first + torch.arange(width)).reshape(-1)
        if first + width > self.ref.width or not torch.equal(flat.sort().values if any_order else flat, wanted):
            return None
        return self.ref.part(first)

    def onto(self, ref: Ref) -> Place:
        """The same numbers where the window's columns are all that `ref` has."""
        row, column = self.at // self.ref.width, self.at % self.ref.width
        return Place(ref, row * ref.width + column - column.min())


def is_change(node: fx.Node) -> bool:
    """Whether `node` changes a tensor in place."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and schema.is_mutable


def is_temporary(node: Any) -> bool:
    """Whether `node` gives new memory that one operation reads."""
    return is_(node, *FRESH) and len(node.users) == 1


def seen(view: fx.Node, at: Tensor) -> Tensor:
    """What `view` makes of the places `at`."""
    if view.target in (aten.view.default, aten._unsafe_view.default):
        return at.reshape(view.args[1])
    return view.target(at, *view.args[1:], **view.kwargs)


def in_new_memory(node: fx.Node) -> None:
    """Let `node` give its result in new memory, if it changes its input in place."""
    name = str(node.target).split(".")
    if is_change(node) and name[0] == "aten" and name[1].endswith("_") and hasattr(aten, name[1][:-1]):
        node.target = getattr(getattr(aten, name[1][:-1]), name[2])


def root_of(node: Any) -> Any:
    """The tensor that `node` is a view of."""
    while is_(node, *VIEWS) and not is_(node, aten.clone.default):
        node = node.args[0]
    return str(node.target) if isinstance(node, fx.Node) and node.op == "get_attr" else node


def changed(node: fx.Node, names: dict[str, Any]) -> str | None:
    """The attribute that `node` changes in place."""
    if not is_change(node):
        return None
    root = root_of(node.args[0])
    return root if isinstance(root, str) else None


def order(place: Place) -> Tensor:
    """Where the numbers lie among themselves, were the rows no wider than what is taken of them."""
    row, column = place.at // place.ref.width, place.at % place.ref.width
    return row * (place.at.numel() // place.ref.rows) + column - column.min()


def whole_rows(at: Tensor, size: int) -> bool:
    """Whether the last dimension is `size` numbers side by side."""
    return at.shape[-1] == size and bool(torch.equal(at, at[..., :1] + torch.arange(size)))


def by_heads(batch: int, width: int, heads: int, dim: int) -> Tensor:
    """Places of [B, heads, W, D] in rows of [B * W, heads * D]."""
    return torch.arange(batch * width * heads * dim).view(batch, width, heads, dim).transpose(1, 2)
