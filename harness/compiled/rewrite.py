"""Puts the kernels of few rows (`harness.compiled.kernels`) into a captured graph.

Products of one input become one call, whose shares are views: queries, keys and values, or gate and up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from harness.compiled.kernels import attend, few_rows

aten = torch.ops.aten
FEW = 32  # rows of a product; above, the library's own is as fast
FEW_QUERIES = 256  # rows of queries of one head
MOST_PARTS = 8  # weights of one call


def rewrite(graph: fx.GraphModule) -> None:
    """Change `graph` in place; what does not suit the kernels stays."""
    products: dict[Any, list[fx.Node]] = {}
    for node in list(graph.graph.nodes):
        if node.target is aten.mm.default and _is_few(node):
            products.setdefault(_source(node.args[0]), []).append(node)
        elif node.target is aten._scaled_dot_product_flash_attention_for_cpu.default and _attends_few(node):
            _replace_attention(graph.graph, node)
    for nodes in products.values():
        for begin in range(0, len(nodes), MOST_PARTS):
            _join(graph.graph, nodes[begin : begin + MOST_PARTS])
    graph.graph.eliminate_dead_code()
    for node in graph.graph.nodes:  # a share of a product is no view of other strides
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default
    graph.graph.lint()
    graph.recompile()


def _value(node: Any) -> torch.Tensor:
    return node.meta["val"]


def _is_few(node: fx.Node) -> bool:
    """Whether `node` is x [M, K] times a held weight [N, K] transposed, in fp32 and of few rows."""
    weight: Any = node.args[1]
    transposed = getattr(weight, "target", None) is aten.t.default and weight.args[0].op == "get_attr"
    value = _value(node)
    fits = value.shape[0] <= FEW and value.dtype == torch.float32
    return bool(transposed and fits and _value(weight).stride()[0] == 1)


def _source(node: Any) -> tuple[Any, ...]:
    """What a product multiplies: the tensor behind its views, and its shape."""
    shape = tuple(_value(node).shape)
    while node.target in (aten.view.default, aten._unsafe_view.default):
        node = node.args[0]
    return node, shape


def _join(graph: fx.Graph, nodes: list[fx.Node]) -> None:
    first = nodes[0]
    with graph.inserting_before(first):
        weights = [graph.create_node("get_attr", str(node.args[1].args[0].target)) for node in nodes]  # type: ignore[union-attr]
        x = graph.call_function(aten.contiguous.default, (first.args[0],))
        whole = graph.call_function(few_rows, (x, weights))
        begin = 0
        for node in nodes:
            end = begin + _value(node).shape[1]
            share = whole if len(nodes) == 1 else graph.call_function(aten.slice.Tensor, (whole, 1, begin, end))
            node.replace_all_uses_with(share)
            begin = end


def _attends_few(node: fx.Node) -> bool:
    q, k = (_value(part) for part in node.args[:2])
    mask = node.kwargs.get("attn_mask")
    causal = node.args[4] if len(node.args) > 4 else node.kwargs.get("is_causal", False)
    dropout = node.args[3] if len(node.args) > 3 else node.kwargs.get("dropout_p", 0.0)
    return (
        mask is not None
        and not causal
        and not dropout
        and node.kwargs.get("scale") is not None
        and q.dtype == torch.float32
        and _value(mask).dtype == torch.float32
        and q.shape[1] == k.shape[1]
        and q.shape[2] <= FEW_QUERIES
        and _value(mask).dim() == 4
        and _value(mask).shape[1] == 1
        and all(user.args[1] == 0 for user in node.users)
    )


def _replace_attention(graph: fx.Graph, node: fx.Node) -> None:
    with graph.inserting_before(node):
        q, k, v, mask = (*node.args[:3], node.kwargs["attn_mask"])
        made = graph.call_function(attend, (q, k, v, mask, node.kwargs["scale"]))
    made.meta["val"] = _value(node.args[0])
    for user in list(node.users):
        user.replace_all_uses_with(made)
        graph.erase_node(user)
    graph.erase_node(node)
