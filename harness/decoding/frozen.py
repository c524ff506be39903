"""Weights as constants of the CPU programs that read them, laid out for the product that each width is fastest with.

For a few rows that is a product the compiler writes for those weights; from `WIDE` rows on it is oneDNN's. A choice by
timing would differ from one run to the next. What this asks of the compiler beyond its options is not public; in a
torch that lacks it, wide products are written like narrow ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

FROZEN_UP_TO = 2**28  # bytes of a target's weights; each program of each arm, and of each reach, holds a copy
WIDE = 8  # rows; below, what a call of oneDNN costs before its first multiplication is more than it saves

#: The tracer reads the first of these as well, so that as an option of one program it would do nothing. With the last,
#: layers that read the same input are one product.
SETTINGS = {
    "freezing": True,
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "CPP,ATEN",
    "cpp.enable_concat_linear": True,
}


@contextmanager
def frozen_weights(count_bytes: int) -> Iterator[None]:
    """Let programs first called meanwhile have the weights they read, `count_bytes` of them, as constants of their own.

    Every program holds such a copy, so large weights, and any on CUDA, stay where they are; so do all on a machine that
    does not tell how large its caches are, which the products are cut to.
    """
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    caches_known = told.get("l1d_cache_size", 0) > 0 and told.get("l2_cache_size", 0) > 0
    if count_bytes > FROZEN_UP_TO or torch.cuda.is_available() or not caches_known:
        yield
        return
    from torch._inductor.select_algorithm import get_algorithm_selector_cache  # takes seconds

    selector = get_algorithm_selector_cache()
    selector.add_preprocessing_fn(chosen)
    try:
        with torch._inductor.config.patch(SETTINGS), wide_by_onednn():
            yield
    finally:
        selector.preprocessing_fns.remove(chosen)


@contextmanager
def wide_by_onednn() -> Iterator[None]:
    """Lay fp32 weights out for oneDNN where `WIDE` rows or more read them, as the compiler does with bf16 ones."""
    from torch._inductor.fx_passes import mkldnn_fusion

    name = "CpuMkldnnDeviceOp"
    default: Any = getattr(mkldnn_fusion, name, None)
    if default is None:
        yield
        return

    class ByWidth(default):
        def pack_linear_weight(self, graph: Any, low_precision: bool, weight: Any, rows: int) -> Any:
            return super().pack_linear_weight(graph, low_precision or rows >= WIDE, weight, rows)

        def pack_linear(self, graph: Any, low_precision: bool, rows: int, *operands: Any) -> Any:
            return super().pack_linear(graph, low_precision or rows >= WIDE, rows, *operands)

    setattr(mkldnn_fusion, name, ByWidth)
    try:
        yield
    finally:
        setattr(mkldnn_fusion, name, default)


def chosen(choices: list[Any]) -> list[Any]:
    """Of the ways to compute a product, oneDNN's where the weights lie as it wants them, else those written for it."""
    from torch._inductor.select_algorithm import ExternKernelCaller

    library = [choice for choice in choices if isinstance(choice, ExternKernelCaller)]
    onednn = [choice for choice in library if "_linear_pointwise" in choice.name]
    own = [choice for choice in choices if choice not in library]
    return onednn or own or choices
