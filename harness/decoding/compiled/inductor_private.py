"""Every private part of torch's compiler that the harness uses, in one file; `torch.compile` itself is public.

- limits in `torch._dynamo.config`: all pieces share one code object (drafters/kernels/pieces.py), which the default
  limits take for a function that is recompiled for ever. Without them compilation fails.
- `skip_all_guards_unsafe`: nothing checks at a call whether a program fits (`programs.with_own_code`). Without it the
  checks take a tenth of a small model's round.
- preprocessing of kernel choices: a rule chooses a product's CPU kernel. Without it they are timed, and one run may
  choose otherwise than the next.
- `CpuMkldnnDeviceOp`: gives fp32 weights of wide products oneDNN's layout. Without it they are compiled like narrow
  ones.

None of them decides tokens. Tested with torch 2.13 on CPUs, and 2.11 with CUDA graphs, which need only the limits. A
part that this torch lacks is logged once, as a warning.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from torch._subclasses.fake_tensor import FakeTensor as FakeTensor
from torch.fx.experimental.proxy_tensor import make_fx

from harness.records.cpus import usable_cpus

log = logging.getLogger(__name__)

#: Set for the whole process, once: the tracer reads them while it compiles, and has no option per program.
torch._dynamo.config.recompile_limit = 256
torch._dynamo.config.accumulated_recompile_limit = 1024

#: Dynamo reads `freezing` while it traces, so it must be set globally; as an option of one program it has no effect.
#: With the last, layers that read the same input are one product.
FREEZING = {
    "freezing": True,
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "CPP,ATEN",
    "cpp.enable_concat_linear": True,
}
DEVICE_OP = "CpuMkldnnDeviceOp"
TESTED = "2.11 and 2.13"


@functools.cache
def warn_of_missing(part: str, effect: str) -> None:
    """Say once that this torch lacks `part`."""
    log.warning("torch %s has no %s (tested: %s): %s", torch.__version__, part, TESTED, effect)


def any_thread_count() -> dict[str, Any]:
    """Options of `torch.compile` for CPU programs that run with whatever thread count is set when they are called.

    By default the count of the moment of compilation is baked in. These cut the work for all CPUs, and fewer threads
    take several cuts each, so a program serves every count and is compiled once for all of them.
    """
    return {"cpp.threads": usable_cpus(), "cpp.dynamic_threads": True}


def unguarded() -> dict[str, Any]:
    """The option of `torch.compile` that skips all guards; none where this torch has no such option."""
    skip = getattr(torch.compiler, "skip_all_guards_unsafe", None)
    if skip is None:
        warn_of_missing("torch.compiler.skip_all_guards_unsafe", "compiled rounds check their guards in every call")
        return {}
    return {"guard_filter_fn": skip}


@contextmanager
def freezing(wide: int) -> Iterator[None]:
    """Bake weights into the CPU programs that are compiled meanwhile.

    Products of fewer than `wide` rows are written for their weights, wider ones are oneDNN's.
    """
    with ExitStack() as stack:
        stack.enter_context(torch._inductor.config.patch(FREEZING))
        stack.enter_context(_fixed_choice())
        stack.enter_context(_wide_by_onednn(wide))
        yield


@contextmanager
def _fixed_choice() -> Iterator[None]:
    """Choose the kernel of each product by rule instead of by timing."""
    try:
        from torch._inductor.select_algorithm import get_algorithm_selector_cache  # takes seconds

        selector = get_algorithm_selector_cache()
        selector.add_preprocessing_fn(chosen)
    except (ImportError, AttributeError):
        warn_of_missing("preprocessing of kernel choices", "CPU kernels of compiled rounds are chosen by timing")
        yield
        return
    try:
        yield
    finally:
        selector.preprocessing_fns.remove(chosen)


def chosen(choices: list[Any]) -> list[Any]:
    """Of the kernels for one product: oneDNN's where weights have its layout, else those written for the weights."""
    from torch._inductor.select_algorithm import ExternKernelCaller

    library = [choice for choice in choices if isinstance(choice, ExternKernelCaller)]
    onednn = [choice for choice in library if "_linear_pointwise" in choice.name]
    own = [choice for choice in choices if choice not in library]
    return onednn or own or choices


@contextmanager
def _wide_by_onednn(wide: int) -> Iterator[None]:
    """Give fp32 weights oneDNN's layout where `wide` rows or more read them, as the compiler does with bf16 ones."""
    from torch._inductor.fx_passes import mkldnn_fusion

    default: Any = getattr(mkldnn_fusion, DEVICE_OP, None)
    if default is None:
        warn_of_missing(f"mkldnn_fusion.{DEVICE_OP}", "wide CPU products are compiled like narrow ones")
        yield
        return

    class ByWidth(default):
        def pack_linear_weight(self, graph: Any, low_precision: bool, weight: Any, rows: int) -> Any:
            return super().pack_linear_weight(graph, low_precision or rows >= wide, weight, rows)

        def pack_linear(self, graph: Any, low_precision: bool, rows: int, *operands: Any) -> Any:
            return super().pack_linear(graph, low_precision or rows >= wide, rows, *operands)

    setattr(mkldnn_fusion, DEVICE_OP, ByWidth)
    try:
        yield
    finally:
        setattr(mkldnn_fusion, DEVICE_OP, default)


# -- programs made ahead of time ---------------------------------------------------------------------------------------

#: Options of `torch._inductor.aot_compile`. What lies between the products is written for one thread: a round has few
#: rows, and waiting for other threads takes longer than the work; products and attention share theirs (kernels.cpp)
#: among as many threads as there are at the call. An index out of bounds would end the process instead of raising.
AHEAD = {"aot_inductor.package": True, "cpp.threads": 1, "assert_indirect_indexing": False}


def tracer(function: Callable[..., Any]) -> Callable[..., torch.fx.GraphModule]:
    """A function that takes tensors and gives the graph of what `function` does with them; nothing is computed."""
    return make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)


@contextmanager
def compiling() -> Iterator[None]:
    """Let `torch.compiler.is_compiling` say yes meanwhile, as it does while torch.export captures."""
    before = torch.compiler._is_compiling_flag
    torch.compiler._is_compiling_flag = True
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag = before


def compile_ahead(graph: Any, arguments: list[Any], declarations: dict[Any, list[str]]) -> list[Path]:
    """The shared library made of `graph`, and beside it, where an operation has no C function, a table of those.

    `declarations` are the C functions behind operations of our own.
    """
    import torch._inductor

    options = {**AHEAD, "aot_inductor.custom_ops_to_c_shims": declarations}
    files: Any = torch._inductor.aot_compile(graph, tuple(arguments), options=options)
    paths = [Path(str(file)) for file in files]
    return [path for path in paths if path.suffix == ".so" or (path.suffix == ".json" and "metadata" not in path.stem)]


class Loaded:
    """A library of `compile_ahead`, with the tensors that follow its arguments: it reads and writes them in place."""

    def __init__(self, library: str, held: list[torch.Tensor]) -> None:
        self.run = torch._C._aoti.AOTIModelContainerRunnerCpu(library, 1).run
        self.kept = held  # packed weights are shared as long as somebody has these very tensors
        self.held = [tensor.detach() for tensor in held]

    def __call__(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        return self.run(tensors + self.held)
