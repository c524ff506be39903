"""Writes a captured graph to a file and reads it again, node by node.

A graph module's own pickle runs its code when it is read, and whatever depends on no argument becomes a constant.
"""

from __future__ import annotations

import io
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from harness.decoding.compiled.capture import Shape

#: The modules that register the operations of a namespace; imported where a graph needs one, as they take seconds.
REGISTER = {"transformers": "transformers.integrations.moe"}


class _Writer(pickle.Pickler):
    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        if isinstance(value, fx.Node):
            return "node", value.name
        if isinstance(value, torch._ops.OpOverload):
            return "operation", str(value)
        return None


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase, nodes: dict[str, fx.Node]) -> None:
        super().__init__(file)
        self.nodes = nodes

    def persistent_load(self, pid: tuple[str, str]) -> Any:
        kind, name = pid
        if kind == "node":
            return self.nodes[name]
        return operation(name)


def operation(name: str) -> Any:
    """The operation `namespace.name.overload`. Raises AttributeError for one that nothing registers."""
    namespace, short, overload = name.split(".")
    if namespace in REGISTER and not hasattr(getattr(torch.ops, namespace), short):
        import_module(REGISTER[namespace])
    return getattr(getattr(getattr(torch.ops, namespace), short), overload)


def write(path: Path, graph: fx.Graph, arguments: list[Shape], held: dict[str, Shape]) -> None:
    """Write `graph`, the shapes of its arguments, and those of the tensors that it holds as attributes."""
    with path.open("wb") as file:
        pickle.dump((arguments, held, len(graph.nodes)), file)
        for node in graph.nodes:  # each as a pickle of its own, so that it finds the nodes before it
            _Writer(file).dump((node.op, node.name, node.target, node.args, node.kwargs))


def read(path: Path) -> tuple[fx.GraphModule, list[Shape]]:
    """The graph, with what it held as further arguments, and the shapes of all arguments."""
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    with path.open("rb") as file:
        arguments, held, count = pickle.load(file)
        of_held: dict[str, fx.Node] = {}
        for _ in range(count):
            op, name, target, args, kwargs = _Reader(file, nodes).load()
            if op != "placeholder" and not of_held:
                of_held = {attribute: graph.placeholder(attribute) for attribute in held}
            if op == "get_attr":
                nodes[name] = of_held[target]
            elif op == "output":
                graph.output(args[0])
            else:
                nodes[name] = graph.create_node(op, target, args, kwargs, name)
    graph.lint()
    return fx.GraphModule(nn.Module(), graph), [*arguments, *held.values()]
