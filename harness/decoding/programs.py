"""Runs the device programs of a round: as they stand, compiled, or captured as CUDA graphs.

A program is a function of fixed shapes over state that lives in place, so the three executions give the same tokens and
differ in time only. First calls, which compile or capture, are made in `Decoder.prepare`, before any clock runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import CodeType
from typing import Any

import torch

from drafters.gemma4 import position_addressed_attention
from drafters.kernels.pieces import call_piece, pieces_run_by
from harness.decoding.compiled import inductor_private
from harness.decoding.compiled.program import Chain
from harness.decoding.compiled.program import Program as Ahead

#: Full-attention buffers are read up to a multiple of this many positions; each step is one more set of programs.
REACH_STEP = {"eager": 64, "compile": 256, "cuda_graph": 512}

Program = Callable[..., Any]
Codes = dict[tuple[Hashable, ...], CodeType]


def compiled(function: Program, **options: Any) -> Program:
    """`function` through torch.compile with these `options`, one program without breaks.

    On the CPU it uses the C++ wrapper: Python calls between kernels cost a fifth of a small model's time.
    """
    if not torch.cuda.is_available():
        options |= {"cpp_wrapper": True, **inductor_private.any_thread_count()}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


class GraphProgram:
    """A function captured once as a CUDA graph and replayed.

    Every call must pass the same tensor objects: the state of a decoder, or the outputs of the program captured before
    it. The outputs are static, too, and overwritten by the next replay.
    """

    def __init__(self, function: Program) -> None:
        self.function = function
        self.graph: torch.cuda.CUDAGraph | None = None
        self.outputs: Any = None

    def __call__(self, *args: Any) -> Any:
        if self.graph is None:
            self.outputs = self._capture(*args)
        else:
            self.graph.replay()
        return self.outputs

    def _capture(self, *args: Any) -> Any:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lazily created handles and tuned kernels must exist before the capture
            for _ in range(3):
                self.function(*args)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self.function(*args)
        graph.replay()
        self.graph = graph
        return outputs


def in_pieces(function: Program) -> Program:
    """`function` with its pieces (drafters.kernels.pieces) compiled one by one, all pieces of one kind once.

    The few small kernels between the pieces stay eager; in a graph the host costs nothing.
    """
    caller = compiled(call_piece)

    def run(*args: Any) -> Any:
        with pieces_run_by(caller):
            return function(*args)

    return run


def with_own_code(function: Program, codes: Codes, made_for: tuple[Hashable, ...]) -> Program:
    """A copy of `function` with its own code object, so that torch.compile caches exactly one program for this key.

    The danger: `program` compiles it without guards, so nothing checks at a call that the cached program still fits,
    and one that does not fit gives wrong tokens in silence. The key must therefore name everything that a trace depends
    on and that can differ between two calls. It is the owner of `codes` (a drafter, or the target), the function's name
    and `made_for`: k, sampling, accept rule, synthetic rates, batch size, capacity and reach. Shapes, dtypes, devices
    and Python constants follow from these; tensors may be others of the same shape, as those of a new decoder are. A
    setting that a program reads and `made_for` lacks would find the program of another value.
    """

    def run(*args: Any) -> Any:
        return function(*args)

    run.__code__ = codes.setdefault((function.__name__, *made_for), run.__code__.replace())
    return run


def program(
    function: Program, execution: str, codes: Codes | None = None, made_for: tuple[Hashable, ...] = ()
) -> Program:
    """`function` run as `execution`; compiled, it shares the program of the same `made_for` in `codes`."""
    if execution == "eager":
        return function
    if execution == "compile":
        own = with_own_code(function, {} if codes is None else codes, made_for)
        return compiled(own, **inductor_private.unguarded())
    return GraphProgram(in_pieces(function))


def ahead(name: str, part: Program, config: Any, state: Callable[[], dict[str, Any]]) -> Ahead:
    """The program of the method `part` of a decoder with this `state`, made ahead of time (`decoding/compiled`)."""

    def run(*args: Any) -> Any:
        with position_addressed_attention(config):
            return part(*args)

    return Ahead(f"{name} {part.__name__}", run, state)


def chain_of(propose: Ahead, verify: Ahead, observe: Ahead, ready: Callable[[], None]) -> Chain:
    """A round's programs in order: each takes results of those before it."""
    parts: list[tuple[Ahead, Callable[[list[Any]], tuple[Any, ...]]]] = [
        (propose, lambda results: ()),
        (verify, lambda results: (results[0],)),
        (observe, lambda results: results[1][:2]),
    ]
    return Chain(parts, ready)
