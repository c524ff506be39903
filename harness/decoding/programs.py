"""How the device programs of a round are run: as they stand, compiled, or captured as CUDA graphs.

A program is a function of fixed shapes over state that lives in place, so the three ways give the same tokens and
differ in time only. Whatever a way costs at first use is paid in `Decoder.prepare`, before any clock runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import CodeType
from typing import Any

import torch

from drafters.kernels.pieces import call_piece, pieces_run_by

#: Full-attention buffers are read up to a multiple of this many positions; each step is one more set of programs.
REACH_STEP = {"eager": 64, "compile": 256, "cuda_graph": 512}

Program = Callable[..., Any]
Codes = dict[tuple[Hashable, ...], CodeType]


def compiled(function: Program, **options: Any) -> Program:
    """`function` through torch.compile with these `options`, one program without breaks.

    On the CPU the calls between kernels are C++, which Python would take a fifth of a small model's time for.
    """
    # Pieces of every kind share one code object; each kind is a specialisation, not a recompilation loop.
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.accumulated_recompile_limit = 1024
    if not torch.cuda.is_available():
        options["cpp_wrapper"] = True
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


class GraphProgram:
    """A function captured once as a CUDA graph and replayed.

    The tensors it is called with must be the same objects every time: they are the state of a decoder, or the outputs
    of the program captured before it. Its outputs are static, too, and overwritten by the next replay.
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
    """`function` with each of its pieces (drafters.kernels.pieces) compiled by itself, once for all pieces of one kind.

    What is between the pieces stays as it is: a few small kernels, and in a graph the host is out of the way already.
    """
    caller = compiled(call_piece)

    def run(*args: Any) -> Any:
        with pieces_run_by(caller):
            return function(*args)

    return run


def apart(function: Program, codes: Codes, made_for: tuple[Hashable, ...]) -> Program:
    """`function` with code of its own for what it is `made_for`, for which the compiler keeps one program and no other.

    Whether that program still fits need not be looked at in every call, which takes a tenth of a small model's round:
    what is made for the same is called with the same shapes, on state that stays in place.
    """

    def run(*args: Any) -> Any:
        return function(*args)

    run.__code__ = codes.setdefault((function.__name__, *made_for), run.__code__.replace())
    return run


def program(
    function: Program, execution: str, codes: Codes | None = None, made_for: tuple[Hashable, ...] = ()
) -> Program:
    """`function` run the way `execution` says; compiled, as the one in `codes` that was made for the same."""
    if execution == "eager":
        return function
    if execution == "compile":
        own = apart(function, {} if codes is None else codes, made_for)
        return compiled(own, guard_filter_fn=torch.compiler.skip_all_guards_unsafe)
    return GraphProgram(in_pieces(function))
