"""Finds in a captured graph what the kernel chain.cpp can compute: steps of one or of several operations.

All are fp32 and of few rows. A step belongs to the node whose numbers it gives; the operations that it is made of lose
their last user when it is put in their place.
"""

# mypy: disable-error-code="union-attr, arg-type, index, operator, misc, assignment"
# The arguments of a graph's nodes are of any type.
from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
FEW = 32  # rows of a product; above, the library's own is as fast
FEW_QUERIES = 256  # rows of queries of one head
LANES = 16  # numbers that are computed together; a row is of whole multiples
PACKED_UP_TO = 2**28  # bytes of packed weights of a program; they are a copy
MOST_PARTS = 8  # products of one input that become one
ACTIVATIONS = {aten.silu.default: 1, aten.gelu.default: 2}


@dataclass(frozen=True)
class Step:
    """What gives the numbers of a node: a kind of step and what it takes (`chain.py`)."""

    kind: str
    inputs: tuple[fx.Node, ...]
    held: tuple[Any, ...] = ()


def value_of(node: Any) -> Tensor:
    return node.meta["val"]


def is_(node: Any, *targets: Any) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in targets


def find_steps(graph: fx.Graph, names: dict[str, Any]) -> dict[fx.Node, Step]:
    """Every step by its node. `names` are the attributes that are part of the state."""
    steps: dict[fx.Node, Step] = {}
    products: dict[Any, list[fx.Node]] = {}
    for node in graph.nodes:
        if not is_(node, *FINDERS) or not isinstance(node.meta.get("val"), Tensor):
            continue
        for find in FINDERS[node.target]:
            found = find(node, names)
            if found is not None:
                steps[node] = found
                if found.kind == "rotate":  # with one head its two products look like steps of their own
                    for part in node.args[:2]:
                        if len(part.users) == 1:
                            steps.pop(part, None)
                break
    gated = {one for step in steps.values() if step.kind == "gated" for one in step.held}
    size = 0
    for node in graph.nodes:
        if is_(node, aten.mm.default) and is_product(node, names):
            size += 4 * value_of(node.args[1]).numel()
            if node not in gated:
                products.setdefault(source(node.args[0]), []).append(node)
    if size > PACKED_UP_TO:
        return {}
    for nodes in products.values():
        for begin in range(0, len(nodes), MOST_PARTS):
            group = tuple(nodes[begin : begin + MOST_PARTS])
            steps |= {node: Step("product", (group[0].args[0],), group) for node in group}
    return steps


def source(node: Any) -> tuple[Any, ...]:
    """What a product multiplies: the tensor behind its views, and its shape."""
    shape = tuple(value_of(node).shape)
    while is_(node, aten.view.default, aten._unsafe_view.default):
        node = node.args[0]
    return node, shape


def is_held(node: Any, names: dict[str, Any]) -> bool:
    return isinstance(node, fx.Node) and node.op == "get_attr" and str(node.target) in names


def is_product(node: fx.Node, names: dict[str, Any]) -> bool:
    """Whether `node` is x [M, K] times a held weight [N, K] transposed, in fp32 and of few rows."""
    weight: Any = node.args[1]
    if not is_(weight, aten.t.default) or not is_held(weight.args[0], names):
        return False
    value = value_of(node)
    return (
        value.shape[0] <= FEW
        and value.dtype == torch.float32
        and value.shape[1] % LANES == 0
        and value_of(weight).stride(0) == 1
    )


def norm(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """x * (mean(x ** 2) + eps) ** -0.5, and times a weight where there is one."""
    value = value_of(node)
    if value.dtype != torch.float32 or value.shape[-1] % LANES:
        return None
    x, scale = node.args
    if is_held(scale, names) and is_(x, aten.mul.Tensor):
        plain = norm(x, names)
        if plain is None or plain.held[0] is not None or value_of(scale).shape != value.shape[-1:]:
            return None
        return Step("norm", plain.inputs, (scale, *plain.held[1:]))
    by_power = is_(scale, aten.pow.Tensor_Scalar) and scale.args[1] == -0.5
    if not isinstance(x, fx.Node) or not (by_power or is_(scale, aten.rsqrt.default)):
        return None
    inner: Any = scale.args[0]
    sums = (aten.add.Tensor, aten.add.Scalar, aten.add_.Tensor, aten.add_.Scalar)
    if not is_(inner, *sums) or not isinstance(inner.args[1], float):
        return None
    mean = inner.args[0]
    if not is_(mean, aten.mean.dim) or list(mean.args[1]) not in ([-1], [value.dim() - 1]):
        return None
    square = mean.args[0]
    if is_(square, aten.pow.Tensor_Scalar) and square.args[1] == 2 and square.args[0] is x:
        return Step("norm", (x,), (None, value.shape[-1], inner.args[1]))
    return None


def fused_norm(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """The first result of torch's own RMS norm over the last dimension."""
    call: Any = node.args[0]
    if node.args[1] != 0 or not is_(call, aten._fused_rms_norm.default):
        return None
    x, shape, weight, eps = call.args
    if len(shape) != 1 or shape[0] % LANES or eps is None or value_of(node).dtype != torch.float32:
        return None
    if weight is not None and not is_held(weight, names):
        return None
    return Step("norm", (x,), (weight, shape[0], float(eps)))


def rotate(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """x * cos + cat(-x2, x1) * sin, of the halves x1 and x2 of x."""
    straight, turned = node.args[:2]
    if node.kwargs or not is_(straight, aten.mul.Tensor) or not is_(turned, aten.mul.Tensor):
        return None
    x, cos = straight.args
    cat, sin = turned.args
    value = value_of(node)
    if not is_(cat, aten.cat.default) or value.dtype != torch.float32 or value.shape[-1] % (2 * LANES):
        return None
    parts: Any = cat.args[0]
    if len(parts) != 2 or cat.args[1] not in (-1, value.dim() - 1) or not is_(parts[0], aten.neg.default):
        return None
    size = value.shape[-1]
    if half_of(parts[0].args[0], size) != (x, 1) or half_of(parts[1], size) != (x, 0):
        return None
    if value_of(cos).shape[-1] != size or value_of(sin).shape[-1] != size:
        return None
    return Step("rotate", (x, cos, sin))


def half_of(node: Any, size: int) -> tuple[Any, int] | None:
    """What `node` is one half of, along the last dimension, and which."""
    if is_(node, aten.slice.Tensor):
        x, dim, first = (*node.args, 0)[:3] if len(node.args) < 3 else node.args[:3]
        is_last = dim in (-1, value_of(x).dim() - 1) and value_of(x).shape[-1] == size
        if is_last and value_of(node).shape[-1] * 2 == size:
            return x, int(first >= size // 2)
    call = node.args[0] if isinstance(node, fx.Node) and node.args else None
    if is_(call, aten.split.Tensor) and call.args[1] * 2 == size:
        dim = call.args[2] if len(call.args) > 2 else 0
        if dim in (-1, value_of(call.args[0]).dim() - 1):
            return call.args[0], node.args[1]
    return None


def gate(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """act(a) * b; where both are products of one input, `gated` with the two products."""
    active, other = node.args[:2]
    if not is_(active, *ACTIVATIONS) or not isinstance(other, fx.Node) or value_of(node).dtype != torch.float32:
        return None
    if active.target is aten.gelu.default and active.kwargs.get("approximate") != "tanh":
        return None
    kind = ACTIVATIONS[active.target]
    inner: Any = active.args[0]
    if value_of(inner).shape != value_of(other).shape or value_of(node).shape[-1] % LANES:
        return None
    gates, ups = source(inner)[0], source(other)[0]
    if all(is_(one, aten.mm.default) and is_product(one, names) and len(one.users) == 1 for one in (gates, ups)):
        same_input = source(gates.args[0]) == source(ups.args[0])
        if same_input and value_of(gates).shape == value_of(ups).shape and len(inner.users) == len(other.users) == 1:
            return Step("gated", (gates.args[0],), (gates, ups, kind))
    return Step("gate", (inner, other), (kind,))


def plain(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """A sum or product of two tensors of one shape, or a product with one number: in memory, or of the graph."""
    a, b = node.args[:2]
    if node.kwargs or not isinstance(a, fx.Node):
        return None
    if isinstance(b, float):
        value = value_of(node)
        fits = value.dtype == value_of(a).dtype == torch.float32 and value.dim() > 0 and value.shape[-1] % LANES == 0
        return Step("times", (a,), (b,)) if fits and node.target is not aten.add.Tensor else None
    if not isinstance(b, fx.Node):
        return None
    one, two, value = value_of(a), value_of(b), value_of(node)
    if {one.dtype, two.dtype} != {torch.float32} or value.shape[-1:] == () or value.shape[-1] % LANES:
        return None
    if one.shape == two.shape == value.shape:
        return Step("add" if node.target is aten.add.Tensor else "multiply", (a, b))
    if node.target is not aten.add.Tensor and one.shape == value.shape and is_held(b, names) and two.numel() == 1:
        return Step("scale", (a,), (b,))
    return None


def store(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """Rows written to held storage [B, H, S, D] at the slots of their positions."""
    kept: Any = node.args[0]
    if not is_held(kept, names) or value_of(kept).dim() != 4 or value_of(kept).dtype != torch.float32:
        return None
    if value_of(kept).stride(-1) != 1:
        return None
    if node.target is aten.index_copy_.default:
        _, dim, slots, rows = node.args
        if dim == 2 and value_of(kept).shape[0] == 1 and value_of(slots).dtype == torch.int64:
            return Step("store", (rows,), (kept, slots, True))
        return None
    _, where, rows = node.args[:3]
    if (len(node.args) > 3 and node.args[3]) or not isinstance(where, list | tuple) or len(where) != 3:
        return None
    if where[1] is not None or where[0] is None or where[2] is None:
        return None
    batch, slots = value_of(where[0]), value_of(where[2])
    if tuple(batch.shape) != (value_of(kept).shape[0], 1) or slots.dtype != torch.int64 or slots.dim() != 2:
        return None
    return Step("store", (rows,), (kept, where[2], False))


def attend(node: fx.Node, names: dict[str, Any]) -> Step | None:
    """The first result of attention of few queries over held storage, with a mask that all heads share."""
    call: Any = node.args[0]
    if node.args[1] != 0 or not is_(call, aten._scaled_dot_product_flash_attention_for_cpu.default):
        return None
    if not attends_few(call):
        return None
    k, v = held_rows(call.args[1], names), held_rows(call.args[2], names)
    if k is None or v is None:
        return None
    stored = value_of(call.args[1]).shape[2]
    return Step("attend", (call.args[0], call.kwargs["attn_mask"]), (k, v, stored, float(call.kwargs["scale"])))


def held_rows(node: Any, names: dict[str, Any]) -> fx.Node | None:
    """The held storage whose first rows `node` is."""
    while not is_held(node, names):
        first = is_(node, aten.slice.Tensor) and node.args[1] == 2 and (len(node.args) < 3 or node.args[2] == 0)
        if not first and not is_(node, aten.index_copy_.default, aten.index_put_.default, aten.alias.default):
            return None
        node = node.args[0]
    return node


def attends_few(node: fx.Node) -> bool:
    """Whether a call of the library's attention suits the kernels of few rows."""
    q, k = (value_of(part) for part in node.args[:2])
    mask = node.kwargs.get("attn_mask")
    causal = node.args[4] if len(node.args) > 4 else node.kwargs.get("is_causal", False)
    dropout = node.args[3] if len(node.args) > 3 else node.kwargs.get("dropout_p", 0.0)
    return (
        mask is not None
        and not causal
        and not dropout
        and node.kwargs.get("scale") is not None
        and q.dtype == torch.float32
        and value_of(mask).dtype == torch.float32
        and q.shape[1] == k.shape[1]
        and q.shape[2] <= FEW_QUERIES
        and q.shape[3] % LANES == 0
        and value_of(mask).dim() == 4
        and value_of(mask).shape[1] == 1
        and all(user.args[1] == 0 for user in node.users)
    )


FINDERS: dict[Any, tuple[Any, ...]] = {
    aten.mul.Tensor: (norm, gate, plain),
    aten.mul_.Tensor: (plain,),
    aten.add.Tensor: (rotate, plain),
    operator.getitem: (fused_norm, attend),
    aten.index_copy_.default: (store,),
    aten.index_put_.default: (store,),
}
