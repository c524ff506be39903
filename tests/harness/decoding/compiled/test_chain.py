"""A chain computes what its graph computed: held by a plain reading of its code, without the compiled kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drafters.kernels.attention import grouped_attention
from drafters.positions import additive, positions_of_slots, visible, write_rows
from harness.decoding.compiled.capture import Shape, capture
from harness.decoding.compiled.code import INPUT, KINDS, RESULT, SHARED
from harness.decoding.compiled.kernels import chain
from harness.decoding.compiled.rewrite import rewrite
from harness.decoding.compiled.state import State, builder, flatten

HIDDEN, HEADS, DIM, SLOTS, PER_LAYER = 64, 4, 32, 24, 16


class Reader:
    """Reads a chain's code as chain.cpp does, one step after the other, with one thread."""

    def __init__(self, inputs: list[Tensor], code: list[int]) -> None:
        results, shared, own, _work, _meetings, count = code[:6]
        self.memory = {RESULT: torch.zeros(results), SHARED: torch.zeros(shared), SHARED + 1: torch.zeros(own)}
        self.inputs, self.values = inputs, [code[6 + 4 * i : 10 + 4 * i] for i in range(count)]
        self.code = iter(code[6 + 4 * count :])

    def next(self) -> int:
        return next(self.code)

    def number(self) -> float:
        return float(struct.unpack("<f", struct.pack("<i", self.next()))[0])

    def value(self, index: int, rows: int, width: int) -> Tensor:
        kind, where, first, row = self.values[index]
        flat = self.inputs[where].reshape(-1) if kind == INPUT else self.memory[kind][where:]
        return flat.as_strided((rows, width), (row, 1), flat.storage_offset() + first)

    def run(self) -> Tensor:
        for kind in self.code:
            getattr(self, KINDS[kind])()
        return self.memory[RESULT]

    def norm(self) -> None:
        out, x, w, rows, heads, dim = (self.next() for _ in range(6))
        found = self.value(x, rows, heads * dim).clone().view(rows, heads, dim)
        found = found * (found.pow(2).mean(-1, keepdim=True) + self.number()).rsqrt()
        self.value(out, rows, heads * dim).copy_((found if w < 0 else found * self.inputs[w]).view(rows, -1))

    def pair(self, of: Any, extra: bool = False) -> None:
        out, a, b = (self.next() for _ in range(3))
        kind = self.next() if extra else 0
        rows, width = self.next(), self.next()
        one, two = self.value(a, rows, width).clone(), self.value(b, rows, width).clone()
        self.value(out, rows, width).copy_(of(one, two) if not extra else active(kind, one) * two)

    def add(self) -> None:
        self.pair(torch.add)

    def multiply(self) -> None:
        self.pair(torch.mul)

    def gate(self) -> None:
        self.pair(None, extra=True)

    def scale(self) -> None:
        out, a, by, rows, width = (self.next() for _ in range(5))
        self.value(out, rows, width).copy_(self.value(a, rows, width) * self.inputs[by])

    def times(self) -> None:
        out, a = self.next(), self.next()
        by, rows, width = self.number(), self.next(), self.next()
        self.value(out, rows, width).copy_(self.value(a, rows, width) * by)

    def rotate(self) -> None:
        out, x, c, s, rows, heads, dim = (self.next() for _ in range(7))
        cos, sin = (self.value(one, rows, dim)[:, None] for one in (c, s))
        found = rotated(self.value(x, rows, heads * dim).clone().view(rows, heads, dim), cos, sin)
        self.value(out, rows, heads * dim).copy_(found.view(rows, -1))

    def product(self) -> None:
        out, x, w, rows, size, width, kind = (self.next() for _ in range(7))
        found = self.value(x, rows, size) @ self.inputs[w].T
        if kind:
            found = active(kind, found[:, :width]) * found[:, width:]
        self.value(out, rows, width).copy_(found)

    def store(self) -> None:
        kept, x, slots, batch, width, heads, dim = (self.next() for _ in range(7))
        rows = self.value(x, batch * width, heads * dim).view(batch, width, heads, dim).transpose(1, 2)
        write_rows(self.inputs[kept], rows, self.inputs[slots].view(batch, width))

    def attend(self) -> None:
        out, q, k, v, mask, batch, width, heads, groups, dim, stored = (self.next() for _ in range(11))
        rows, size = batch * width, heads * groups * dim
        query = self.value(q, rows, size).clone().view(batch, width, -1, dim).transpose(1, 2)
        keys, values = (self.inputs[one][:, :, :stored] for one in (k, v))
        seen = self.inputs[mask].expand(-1, -1, width, -1)
        found = grouped_attention(query, keys, values, seen, self.number())
        self.value(out, rows, size).copy_(found.reshape(rows, size))

    def give(self) -> None:
        out, x, rows, width = (self.next() for _ in range(4))
        self.value(out, rows, width).copy_(self.value(x, rows, width))


def active(kind: int, x: Tensor) -> Tensor:
    return F.silu(x) if kind == 1 else F.gelu(x, approximate="tanh")


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


@pytest.fixture(autouse=True)
def read_by_python() -> Iterator[None]:
    library = torch.library.Library("drafthouse", "IMPL")
    library.impl("chain", lambda inputs, code: Reader(inputs, code).run(), "CPU")
    yield
    library._destroy()


class Layers:
    """Two layers in the manner of Gemma's: their own storage, one attention that sees a block from both sides.

    With a single head of keys (E2B), the products of its rotation have the shape of the tables. Every layer gets
    numbers of its own, which constants of the graph scale.
    """

    def __init__(self, batch: int, width: int, both_sides: bool, kv_heads: int) -> None:
        torch.manual_seed(0)
        self.batch, self.width, self.both_sides = batch, width, both_sides

        def linear(rows: int, columns: int) -> nn.Linear:
            return nn.Linear(columns, rows, bias=False)

        self.layers = [
            nn.ModuleDict(
                {
                    "norm": nn.RMSNorm(HIDDEN, eps=1e-6), "after": nn.RMSNorm(HIDDEN, eps=1e-6),
                    "qn": nn.RMSNorm(DIM, eps=1e-6), "q": linear(HEADS * DIM, HIDDEN),
                    "k": linear(kv_heads * DIM, HIDDEN),
                    "v": linear(kv_heads * DIM, HIDDEN), "o": linear(HIDDEN, HEADS * DIM),
                    "gate": linear(2 * HIDDEN, HIDDEN), "up": linear(2 * HIDDEN, HIDDEN),
                    "down": linear(HIDDEN, 2 * HIDDEN),
                    "own_gate": linear(PER_LAYER, HIDDEN), "own": linear(HIDDEN, PER_LAYER),
                }
            )
            for _ in range(2)
        ]  # fmt: skip
        self.head, self.to_layers = linear(48, HIDDEN), linear(2 * PER_LAYER, HIDDEN)
        self.of_layers = nn.RMSNorm(PER_LAYER, eps=1e-6)
        self.scalar = torch.tensor([0.75])
        self.keys = [torch.zeros(batch, kv_heads, SLOTS, DIM) for _ in range(2)]
        self.values = [torch.zeros(batch, kv_heads, SLOTS, DIM) for _ in range(2)]

    def heads(self, x: Tensor) -> Tensor:
        return x.view(self.batch, self.width, -1, DIM)

    def run(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, W, 48] and the first layer's output [B, W, H] of `x` [B, W, H]."""
        angles = positions[..., None].float() * torch.arange(DIM // 2) / DIM
        angles = torch.cat((angles, angles), dim=-1)[:, :, None]
        cos, sin = angles.cos(), angles.sin()
        horizon = positions[:, -1] if self.both_sides else None
        mask = additive(
            visible(positions, positions_of_slots(positions[:, -1], SLOTS, False), horizon=horizon), x.dtype
        )
        first = x
        of_layers = (self.to_layers(x) * 0.125).view(self.batch, self.width, 2, PER_LAYER)
        of_layers = self.of_layers(of_layers) * 0.7
        for index, layer in enumerate(self.layers):
            h = layer["norm"](x)
            q = rotated(layer["qn"](self.heads(layer["q"](h))), cos, sin).transpose(1, 2)
            k = rotated(self.heads(layer["k"](h)), cos, sin).transpose(1, 2)
            v = self.heads(layer["v"](h)).transpose(1, 2)
            write_rows(self.keys[index], k, positions)
            write_rows(self.values[index], v, positions)
            out = grouped_attention(q, self.keys[index], self.values[index], mask, 0.3)
            x = x + layer["o"](out.reshape(self.batch, self.width, -1))
            h = layer["after"](x)
            x = x + layer["down"](F.gelu(layer["gate"](h), approximate="tanh") * layer["up"](h))
            gates = F.gelu(layer["own_gate"](x), approximate="tanh")
            x = x + layer["own"](gates * of_layers[:, :, index])
            x = x * self.scalar
            if index == 0:
                first = x
        return self.head(x).tanh_(), first


@pytest.mark.parametrize(
    ("batch", "width", "both_sides", "kv_heads"),
    [(1, 1, False, 2), (1, 1, False, 1), (1, 5, False, 1), (1, 4, True, 2), (3, 2, False, 2)],
)
def test_two_layers_are_one_call_and_compute_the_same(batch: int, width: int, both_sides: bool, kv_heads: int) -> None:
    layers = Layers(batch, width, both_sides, kv_heads)
    example = (torch.randn(batch, width, HIDDEN), torch.arange(width).expand(batch, -1) + torch.arange(batch)[:, None])
    state = State({"owner": vars(layers)})
    _, form = flatten(example)
    taken = capture(layers.run, [Shape.of(one) for one in example], builder(form), state)
    rewrite(taken)
    calls = [node for node in taken.graph.graph.nodes if node.target is chain]
    assert len(calls) == 1

    for name, path in taken.names.items():
        parts = [path] if isinstance(path, str) else path[1:]
        tensors = [state.tensors[part].detach() for part in parts]
        delattr(taken.graph, name)
        setattr(taken.graph, name, tensors[0] if isinstance(path, str) else torch.cat(tensors))
    for name, literal in taken.literals.items():
        delattr(taken.graph, name)
        setattr(taken.graph, name, literal)
    with torch.no_grad():
        found = taken.graph(*example)
        stored = [one.clone() for one in (*layers.keys, *layers.values)]
        for one in (*layers.keys, *layers.values):
            one.zero_()
        wanted = layers.run(*example)
    torch.testing.assert_close(list(found), list(wanted), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stored, [*layers.keys, *layers.values], rtol=1e-4, atol=1e-5)


def test_rows_that_something_else_reads_are_stored_by_the_graph_itself() -> None:
    owner = SimpleNamespace(kept=torch.zeros(1, 2, 8, 16), weight=torch.randn(32, 16))

    def run(x: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        rows = F.linear(x, owner.weight)
        write_rows(owner.kept, rows.view(1, 3, 2, 16).transpose(1, 2), slots)
        return rows, owner.kept.sum()

    example = (torch.randn(1, 3, 16), torch.arange(3)[None])
    _, form = flatten(example)
    take = partial(capture, run, [Shape.of(one) for one in example], builder(form), State({"owner": vars(owner)}))
    with pytest.raises(ValueError, match="another way"):
        rewrite(take())
    taken = take()
    rewrite(taken, joined=False)
    assert any("index_copy" in str(node.target) for node in taken.graph.graph.nodes)
