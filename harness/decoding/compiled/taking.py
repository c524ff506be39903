"""Takes nodes of a captured graph into a chain of steps: checks that the kernel can read their inputs as they lie."""

# mypy: disable-error-code="union-attr, arg-type, index, operator, misc, assignment"
# The arguments of a graph's nodes are of any type.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from harness.decoding.compiled.capture import Shape
from harness.decoding.compiled.code import Chain, Ref, Value
from harness.decoding.compiled.places import VIEWS, Place, by_heads, order, seen, whole_rows
from harness.decoding.compiled.steps import LANES, Step, find_steps, is_, value_of


@dataclass
class Walk:
    """A chain that grows: its nodes and where their numbers lie, and the nodes that must come after it."""

    chain: Chain = field(default_factory=Chain)
    places: dict[fx.Node, Place] = field(default_factory=dict)
    members: list[fx.Node] = field(default_factory=list)
    late: set[fx.Node] = field(default_factory=set)
    late_changes: bool = False


class Taking:
    """The chain that grows while a graph is walked through. Packed weights become entries of `names`."""

    def __init__(self, graph: fx.GraphModule, names: dict[str, Any]) -> None:
        self.module, self.graph, self.names = graph, graph.graph, names
        self.steps: dict[fx.Node, Step] = find_steps(self.graph, names)
        self.kept: set[str] = set()  # stored rows that steps alone read and write
        self.moved: dict[fx.Node, fx.Node] = {}  # what stands for a node of an earlier chain
        self.walk = Walk()

    def take(self, node: fx.Node) -> bool:
        """Take `node` into the chain, if it belongs there."""
        step, walk = self.steps.get(node), self.walk
        if node in walk.places:  # by a product that it shares with another
            return True
        if step is None:
            if not is_(node, *VIEWS) or node.args[0] not in walk.places or set(node.all_input_nodes) & walk.late:
                return False
            place = walk.places[node.args[0]]
            walk.places[node] = Place(place.ref, seen(node, place.at))
            return True
        taken: bool = getattr(self, f"_{step.kind}")(node, step)
        if taken:
            walk.members.append(node)
        elif step.kind == "store":
            self.kept.discard(step.held[0].target)
        return taken

    def _input(self, node: fx.Node) -> Place | None:
        """Where the numbers of `node` lie: in the chain, or outside, contiguous, from where the chain can read them."""
        if node in self.walk.places:
            return self.walk.places[node]
        node = self.moved.get(node, node)
        if node in self.walk.late:
            return None
        value = value_of(node)
        width = value.shape[-1]
        return Place(Ref(Value(value.numel() // width, width, node)), torch.arange(value.numel()).view(value.shape))

    def _outside(self, node: fx.Node) -> bool:
        return node not in self.walk.places and node not in self.walk.late

    def _makes(self, rows: int, width: int) -> Ref:
        return Ref(Value(rows, width))

    def _row_wise(self, node: fx.Node, kind: str, inputs: list[fx.Node], *fields: Any) -> bool:
        """A step whose every number needs the same numbers of its inputs, one of which is in the chain."""
        first = next((self.walk.places[one] for one in inputs if one in self.walk.places), None)
        if first is None or first.at.numel() // first.ref.rows % LANES:
            return False
        rows, size = first.ref.rows, first.at.numel()
        windows = []
        for one in inputs:
            place = self._input(one)
            if place is None or place.at.numel() != size:
                return False
            if one not in self.walk.places:  # seen as rows like the first's
                place = Place(Ref(Value(rows, size // rows, place.ref.value.node)), place.at)
            windows.append(place.window(any_order=True))
            if windows[-1] is None or not torch.equal(order(place), order(first)):
                return False
        made = self._makes(rows, size // rows)
        self.walk.chain.step(kind, made, *windows, *fields, rows, size // rows)
        self.walk.places[node] = first.onto(made)
        return True

    def _add(self, node: fx.Node, step: Step) -> bool:
        return self._row_wise(node, "add", list(step.inputs))

    def _multiply(self, node: fx.Node, step: Step) -> bool:
        return self._row_wise(node, "multiply", list(step.inputs))

    def _gate(self, node: fx.Node, step: Step) -> bool:
        return self._row_wise(node, "gate", list(step.inputs), *step.held)

    def _scale(self, node: fx.Node, step: Step) -> bool:
        return self._row_wise(node, "scale", list(step.inputs), *step.held)

    def _times(self, node: fx.Node, step: Step) -> bool:
        return self._row_wise(node, "times", list(step.inputs), *step.held)

    def _norm(self, node: fx.Node, step: Step) -> bool:
        weight, size, eps = step.held
        place = self._input(step.inputs[0])
        window = None if place is None else place.window(any_order=True)
        if place is None or window is None or not whole_rows(place.at, size):
            return False
        rows = place.ref.rows
        heads = place.at.numel() // rows // size
        made = self._makes(rows, heads * size)
        self.walk.chain.step("norm", made, window, -1 if weight is None else weight, rows, heads, size, float(eps))
        self.walk.places[node] = place.onto(made)
        return True

    def _rotate(self, node: fx.Node, step: Step) -> bool:
        x, cos, sin = step.inputs
        place = self._input(x) if x in self.walk.places else None
        window = None if place is None else place.window(any_order=True)
        size = value_of(x).shape[-1]
        if place is None or window is None or not whole_rows(place.at, size):
            return False
        rows = place.ref.rows
        row_of = place.at[..., 0] // place.ref.width
        tables = []
        for table in (cos, sin):
            value = value_of(table)
            if not self._outside(table) or value.numel() != rows * size:
                return False
            rows_of_table = torch.arange(rows).view(value.shape[:-1])
            if not torch.equal(rows_of_table.expand_as(row_of), row_of):
                return False
            tables.append(Ref(Value(rows, size, self.moved.get(table, table))))
        made = self._makes(rows, place.at.numel() // rows)
        self.walk.chain.step("rotate", made, window, *tables, rows, place.at.numel() // rows // size, size)
        self.walk.places[node] = place.onto(made)
        return True

    def _product(self, node: fx.Node, step: Step) -> bool:
        return self._multiplied(node, step.inputs[0], list(step.held), 0)

    def _gated(self, node: fx.Node, step: Step) -> bool:
        gates, ups, kind = step.held
        return self._multiplied(node, step.inputs[0], [gates, ups], kind)

    def _multiplied(self, node: fx.Node, x: fx.Node, products: list[fx.Node], kind: int) -> bool:
        """One product for all of `products`; with a `kind` of activation, the first of them gates the second."""
        place = self._input(x)
        if place is None:
            return False
        rows, size = value_of(x).shape
        begin = int(place.at.flatten()[0])
        in_rows = begin + torch.arange(rows)[:, None] * place.ref.width + torch.arange(size)
        if not torch.equal(place.at, in_rows):
            return False
        window = place.ref.part(begin)
        weights = [one.args[1].args[0] for one in products]
        widths = [value_of(one).shape[1] for one in products]
        width = widths[0] if kind else sum(widths)
        made = self._makes(rows, width)
        packed = self._packed(weights, kind)
        self.walk.chain.step("product", made, window, packed, rows, size, width, kind)
        self.walk.chain.work += max(rows, 4) * size * sum(widths)
        whole = torch.arange(rows * width).view(rows, width)
        if kind:
            self.walk.places[node] = Place(made, whole.view(value_of(node).shape))
            return True
        begin = 0
        for one, share in zip(products, widths, strict=True):
            self.walk.places[one] = Place(made, whole[:, begin : begin + share])
            begin += share
        return True

    def _packed(self, weights: list[fx.Node], kind: int) -> fx.Node:
        """The attribute that holds these weights packed; what it is made of is its name."""
        made_of = [bool(kind), *(self.names[str(one.target)] for one in weights)]
        name = next((name for name, known in self.names.items() if known == made_of), None)
        if name is None:
            name = f"packed{len(self.names)}"
            self.names[name] = made_of
            size, count = value_of(weights[0]).shape[1], sum(value_of(one).shape[0] for one in weights)
            setattr(self.module, name, Shape((count, size), (size, 1), "float32"))
        with self.graph.inserting_before(next(one for one in self.graph.nodes if one.op != "placeholder")):
            return self.graph.create_node("get_attr", name)

    def _store(self, node: fx.Node, step: Step) -> bool:
        kept, slots, is_single = step.held
        if kept.target not in self.kept or not self._outside(slots):
            return False
        batch, heads, _, dim = value_of(kept).shape
        place = self._input(step.inputs[0]) if step.inputs[0] in self.walk.places else None
        window = None if place is None else place.window(any_order=True)
        width = value_of(slots).shape[-1]
        if place is None or window is None or place.ref.rows != batch * width:
            return False
        at = place.at if is_single else place.at.transpose(1, 2)  # [B, H, W, D]
        if not torch.equal(order(Place(place.ref, at)), by_heads(batch, width, heads, dim)):
            return False
        self.walk.chain.step("store", kept, window, self.moved.get(slots, slots), batch, width, heads, dim)
        return True

    def _attend(self, node: fx.Node, step: Step) -> bool:
        q, mask = step.inputs
        k, v, stored, scale = step.held
        if {k.target, v.target} - self.kept or q not in self.walk.places:
            return False
        batch, heads, queries, dim = value_of(q).shape
        place = self.walk.places[q]
        window = place.window(any_order=True)
        if window is None or place.ref.rows % batch or place.ref.rows == 0:
            return False
        width = place.ref.rows // batch
        groups = queries // width
        wanted = by_heads(batch, width, heads * groups, dim).reshape(batch, heads, groups * width, dim)
        if not torch.equal(order(place), wanted):
            return False
        base = self._mask(mask, batch, width, groups, stored)
        if base is None:
            return False
        made = self._makes(place.ref.rows, heads * groups * dim)
        fields = (batch, width, heads, groups, dim, stored, scale)
        self.walk.chain.step("attend", made, window, k, v, base, *fields)
        self.walk.places[node] = Place(made, wanted)
        return True

    def _mask(self, node: fx.Node, batch: int, width: int, groups: int, stored: int) -> fx.Node | None:
        """The mask [B|1, 1, W|1, S] that `node` repeats for every group of query heads."""
        views = []
        shapes = ((1, width, stored), (1, 1, stored))  # a block may see the same rows from everywhere
        while is_(node, *VIEWS) and tuple(value_of(node).shape[1:]) not in shapes:
            views.append(node)
            node = node.args[0]
        shape = value_of(node).shape
        if not self._outside(node) or tuple(shape[1:]) not in shapes:
            return None
        if value_of(node).stride(-1) != 1:
            return None
        at = torch.arange(value_of(node).numel()).view(shape)
        wanted = at.expand(-1, 1, width, stored).repeat(1, 1, groups, 1)
        for view in reversed(views):
            at = seen(view, at)
        if at.shape[-2] not in (1, wanted.shape[-2]) or not torch.equal(at.expand_as(wanted), wanted):
            return None
        return self.moved.get(node, node)
