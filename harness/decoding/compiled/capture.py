"""Captures a round's program as a graph of tensor operations, whose inputs are its arguments and the state by name.

The program runs once on tensors without numbers, so the capture costs no pass and changes no state. A program that asks
for a number (a synchronisation) cannot be captured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from harness.decoding.compiled import inductor_private
from harness.decoding.compiled.state import State, flatten

TRIVIAL = 8  # operations


@dataclass(frozen=True)
class Shape:
    """A tensor without numbers, as an example of an argument."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, tensor: Tensor) -> Shape:
        return cls(tuple(tensor.shape), tuple(tensor.stride()), str(tensor.dtype).removeprefix("torch."))

    def empty(self) -> Tensor:
        """A tensor of this shape, of whatever numbers lie in memory."""
        return torch.empty_strided(self.size, self.stride, dtype=getattr(torch, self.dtype))


@dataclass(frozen=True)
class Capture:
    """`graph` takes the arguments' tensors; its attributes are the state (`names`: attribute -> path) and `literals`.

    In place of a path there may be a list: weights in packed form (`harness.decoding.compiled.packing`).

    `results` are the shapes of what it returns, `form` puts them together (`harness.decoding.compiled.state`).
    """

    graph: fx.GraphModule
    arguments: list[Shape]
    names: dict[str, Any]
    literals: dict[str, Tensor]
    results: list[Shape]
    form: Any

    @property
    def is_trivial(self) -> bool:
        """Whether it is a handful of operations, which cost as much compiled."""
        return sum(node.op == "call_function" for node in self.graph.graph.nodes) <= TRIVIAL


def capture(function: Callable[..., Any], arguments: list[Shape], rebuild: Callable[..., Any], state: State) -> Capture:
    """`function` over arguments of these shapes, which `rebuild` puts together from an iterator of tensors."""
    results: list[Shape] = []
    forms: list[Any] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        found, form = flatten(function(*rebuild(iter(tensors))))
        forms.append(form)
        results.extend(map(Shape.of, found))
        return tuple(found)

    # The tracer really computes with tensors of one number.
    before = [(tensor, tensor.clone()) for tensor in state.tensors.values() if tensor.numel() == 1]
    # Outside inference mode, in which operations are not taken apart.
    try:
        with torch.inference_mode(False), torch.no_grad(), inductor_private.compiling():
            trace = inductor_private.tracer(flat)
            graph = trace(*[shape.empty() for shape in arguments])
    finally:
        for tensor, value in before:
            tensor.data.copy_(value)
        state.forget(inductor_private.FakeTensor)
    names: dict[str, Any] = {}
    literals: dict[str, Tensor] = {}
    renamed: dict[str, str] = {}
    for node in graph.graph.nodes:
        if node.op != "get_attr":
            continue
        if node.target not in renamed:
            tensor = getattr(graph, node.target)
            renamed[node.target] = name = f"held{len(renamed)}"
            path = state.name_of(tensor)
            if path is None:
                literals[name] = tensor.detach().clone()
            else:
                names[name] = path
            delattr(graph, node.target)
            setattr(graph, name, Shape.of(tensor))
        node.target = renamed[node.target]
    graph.recompile()
    return Capture(graph, arguments, names, literals, results, forms[-1])
