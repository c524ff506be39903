"""Puts the kernels of few rows (`compiled/kernels.py`) into a captured graph: chains of steps, and single calls.

Outside chains, products of one input become one call, whose shares are views: queries, keys and values, or gate and up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from harness.decoding.compiled.capture import Capture
from harness.decoding.compiled.chain import join
from harness.decoding.compiled.kernels import attend, few_rows
from harness.decoding.compiled.steps import MOST_PARTS, attends_few, is_, is_product, source, value_of

aten = torch.ops.aten


def rewrite(taken: Capture, *, joined: bool = True) -> None:
    """Change the graph of `taken` in place; what does not suit the kernels stays. `joined` allows chains."""
    graph = taken.graph
    graph.graph.eliminate_dead_code()  # unread second results, which no kernel gives
    if joined:
        join(graph, taken.names)
    graph.graph.eliminate_dead_code()
    products: dict[Any, list[fx.Node]] = {}
    for node in list(graph.graph.nodes):
        if is_(node, aten.mm.default) and is_product(node, taken.names | taken.literals):
            products.setdefault(source(node.args[0]), []).append(node)
        elif is_(node, aten._scaled_dot_product_flash_attention_for_cpu.default) and attends_few(node):
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


def _join(graph: fx.Graph, nodes: list[fx.Node]) -> None:
    first = nodes[0]
    with graph.inserting_before(first):
        weights = [graph.create_node("get_attr", str(node.args[1].args[0].target)) for node in nodes]  # type: ignore[union-attr]
        x = graph.call_function(aten.contiguous.default, (first.args[0],))
        whole = graph.call_function(few_rows, (x, weights))
        begin = 0
        for node in nodes:
            end = begin + value_of(node).shape[1]
            share = whole if len(nodes) == 1 else graph.call_function(aten.slice.Tensor, (whole, 1, begin, end))
            node.replace_all_uses_with(share)
            begin = end


def _replace_attention(graph: fx.Graph, node: fx.Node) -> None:
    with graph.inserting_before(node):
        q, k, v, mask = (*node.args[:3], node.kwargs["attn_mask"])
        made = graph.call_function(attend, (q, k, v, mask, node.kwargs["scale"]))
    made.meta["val"] = value_of(node.args[0])
    for user in list(node.users):
        user.replace_all_uses_with(made)
        graph.erase_node(user)
    graph.erase_node(node)
