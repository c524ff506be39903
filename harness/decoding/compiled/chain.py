"""Joins the steps of a pass in a captured graph into calls of one kernel (chain.cpp).

A walk over the graph takes every node that the kernel knows (`compiled/steps.py`) into a chain until a node needs what
lies after it. What is not known stays as it is: before the chain, or behind it where it reads its results.
"""

# mypy: disable-error-code="union-attr, arg-type, index, operator, misc, assignment"
# The arguments of a graph's nodes are of any type.
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import fx

from harness.decoding.compiled.code import Ref, rounded
from harness.decoding.compiled.kernels import chain as call
from harness.decoding.compiled.places import VIEWS, Place, changed, in_new_memory, is_change, is_temporary, root_of
from harness.decoding.compiled.steps import is_, value_of
from harness.decoding.compiled.taking import Taking, Walk

aten = torch.ops.aten
BEGINNERS = ("norm", "product", "gated")  # steps that read all their inputs from outside a chain, if need be


def join(graph: fx.GraphModule, names: dict[str, Any]) -> None:
    """Put chains into `graph`. Weights become packed ones, which get entries of their own in `names`."""
    Joining(graph, names).run()


class Joining(Taking):
    """Puts chains into a graph."""

    def __init__(self, graph: fx.GraphModule, names: dict[str, Any]) -> None:
        for node in graph.graph.nodes:  # a change of what nobody else sees is none
            if is_change(node) and is_temporary(node.args[0]):
                in_new_memory(node)
        super().__init__(graph, names)
        self.kept = self._read_by_steps()
        self.stores = 0  # chains that store rows

    def run(self) -> None:
        for node in list(self.graph.nodes):
            if node.op in ("placeholder", "get_attr", "output") or self.take(node):
                continue
            step = self.steps.get(node)
            if step and step.kind in BEGINNERS and self.walk.late.intersection(step.inputs):
                self.place()  # it needs what comes after this chain, so it begins another
                if self.take(node):
                    continue
            after = set(node.all_input_nodes) & (self.walk.places.keys() | self.walk.late)
            changes = is_change(node)
            if after or self.walk.late_changes or (changes and self._touches(node)):
                self.walk.late.add(node)
                self.walk.late_changes |= changes
                if step and step.kind in ("store", "attend"):
                    raise ValueError(f"{node.name} reads or writes rows in another way than the kernel")
        self.place()

    def _read_by_steps(self) -> set[str]:
        """Stored rows that nothing but steps reads and writes; those of `observe` nothing reads at all."""
        stored = {str(step.held[0].target) for step in self.steps.values() if step.kind == "store"}
        read = {str(one.target) for step in self.steps.values() if step.kind == "attend" for one in step.held[:2]}
        spoiled = set()
        for node in self.graph.nodes:
            root = changed(node, self.names)
            if root is not None and node not in self.steps:
                spoiled.add(root)
            if node.op == "get_attr" and str(node.target) in stored:
                spoiled |= {str(node.target) for user in node.users if not self._is_of_steps(user)}
        return (read | stored) - spoiled

    def _is_of_steps(self, user: fx.Node) -> bool:
        """Whether a reader of stored rows is a step, or what only steps read."""
        if is_(user, aten._scaled_dot_product_flash_attention_for_cpu.default):
            return any(one in self.steps for one in user.users)
        is_store = user in self.steps and self.steps[user].kind == "store"
        return (is_store or is_(user, *VIEWS)) and all(map(self._is_of_steps, user.users))

    def _touches(self, node: fx.Node) -> bool:
        """Whether `node` changes what a step of the chain reads from outside."""
        root = root_of(node.args[0])
        inputs = {one for _, fields in self.walk.chain.steps for one in fields if isinstance(one, fx.Node)}
        inputs |= {
            one.value.node
            for _, fields in self.walk.chain.steps
            for one in fields
            if isinstance(one, Ref) and one.value.node is not None
        }
        return root in {root_of(one) for one in inputs}

    def place(self) -> None:
        """Put the chain's call into the graph, before all that comes after it, and begin another chain."""
        walk, self.walk = self.walk, Walk()
        self.stores += any(kind == "store" for kind, _ in walk.chain.steps)
        if self.stores > 1:  # nothing in the graph would say which call comes first
            raise ValueError("rows are stored by several calls")
        members = walk.places.keys() | set(walk.members)
        wanted = self._needed_outside(members)
        given = list(dict.fromkeys(walk.places[node].ref.value for node in wanted))
        if not given or not any(kind == "product" for kind, _ in walk.chain.steps):
            return
        with self.graph.inserting_before(self._behind(walk)):
            inputs, code = walk.chain.write(given)
            whole = self.graph.call_function(call, ([self._contiguous(one) for one in inputs], code))
            results, begin = {}, 0
            for value in given:
                end = begin + value.rows * value.width
                piece = self.graph.call_function(aten.slice.Tensor, (whole, 0, begin, end))
                results[value] = self.graph.call_function(aten.view.default, (piece, [value.rows, value.width]))
                begin += rounded(value)
            for node in wanted:
                place = walk.places[node]
                made = self._seen_as(results[place.ref.value], place)
                made.meta["val"] = value_of(node)
                self.moved[node] = made
                for user in list(node.users):
                    if user not in members:
                        user.replace_input_with(node, made)
                        if user.args[0] is made:
                            in_new_memory(user)
        for node in walk.members:
            if self.steps[node].kind == "store":
                node.replace_all_uses_with(node.args[0])
                self.graph.erase_node(node)
            else:
                in_new_memory(node)
        self._erase_unread(members)

    def _erase_unread(self, members: Collection[fx.Node]) -> None:
        """Erase what nobody reads any more of the members and of the operations that they were made of."""
        stack = [node for node in members if not node._erased]
        while stack:
            node = stack.pop()
            if not node.users and not node._erased and node.op == "call_function" and not is_change(node):
                inputs = node.all_input_nodes
                self.graph.erase_node(node)
                stack.extend(inputs)
        inner = [node for node in self.graph.nodes if not node.users and node.op == "call_function"]
        if any(not is_change(node) for node in inner):
            self._erase_unread([node for node in inner if not is_change(node)])

    def _seen_as(self, piece: fx.Node, place: Place) -> fx.Node:
        """`piece` [rows, width] as the node that lies at `place`."""
        shape = list(place.at.shape)
        window = place.window()
        if window is not None:
            width = place.at.numel() // place.ref.rows
            if width != place.ref.width:
                first = window.first
                piece = self.graph.call_function(aten.slice.Tensor, (piece, 1, first, first + width))
            return self.graph.call_function(aten.reshape.default, (piece, shape))
        raise ValueError("a step's result is read in another order than it lies in")

    def _needed_outside(self, members: Collection[fx.Node]) -> list[fx.Node]:
        """The members whose numbers are read by what is no member, and needed in the end."""
        stack = [node for node in self.graph.nodes if node not in members and (node.op == "output" or is_change(node))]
        live: set[fx.Node] = set()
        wanted: set[fx.Node] = set()
        while stack:
            node = stack.pop()
            if node not in live:
                live.add(node)
                wanted.update(one for one in node.all_input_nodes if one in members)
                stack.extend(one for one in node.all_input_nodes if one not in members)
        return [node for node in self.graph.nodes if node in wanted]

    def _behind(self, walk: Walk) -> fx.Node:
        """Move what must come after the chain behind its last node; a node before which its call belongs."""
        order = list(self.graph.nodes)
        last = max(order.index(one) for one in walk.members)
        anchor = order[last + 1]
        late = [node for node in order[: last + 1] if node in walk.late]
        for node in late:
            anchor.prepend(node)
        return late[0] if late else anchor

    def _contiguous(self, node: fx.Node) -> fx.Node:
        if node.op == "get_attr" or value_of(node).is_contiguous():
            return node
        made = self.graph.call_function(aten.clone.default, (node,), {"memory_format": torch.contiguous_format})
        made.meta["val"] = value_of(node).contiguous()
        return made
