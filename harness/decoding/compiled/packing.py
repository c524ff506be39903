"""Weights in the order in which chain.cpp reads them: one copy for all programs, as long as one of them lives."""

from __future__ import annotations

import ctypes
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from harness.decoding.compiled import kernels, package

_packed: WeakValueDictionary[tuple[object, ...], Tensor] = WeakValueDictionary()


def packed(weights: list[Tensor], gated: bool) -> Tensor:
    """The rows of `weights`, each [N, K], in panels; where `gated`, half of a panel is of either.

    A copy: weights that change afterwards need programs that are bound anew.
    """
    key = (gated, *((weight.data_ptr(), tuple(weight.shape), tuple(weight.stride())) for weight in weights))
    found = _packed.get(key)
    if found is None:
        found = _packed[key] = _pack(weights, gated)
        found.made_of = weights  # type: ignore[attr-defined]  # so that nothing else can lie at their addresses
    return found


def _pack(weights: list[Tensor], gated: bool) -> Tensor:
    library = kernels.load(package.processor())
    panel, size = int(library.drafthouse_panel()), weights[0].shape[1]
    count = sum(weight.shape[0] for weight in weights)
    whole = torch.zeros(-(-count // panel) * panel * size + panel)
    skip = -whole.data_ptr() // 4 % 16  # panels begin at a line of the processor's caches
    pack = library.drafthouse_pack
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    pack.argtypes = [pointer, number, number, number, pointer, number, number, pointer]
    to, column = whole.data_ptr() + 4 * skip, 0
    for weight in weights[:1] if gated else weights:
        up = weights[1] if gated else None
        more = (None, 0) if up is None else (up.data_ptr(), up.stride(0))
        pack(weight.data_ptr(), weight.shape[0], size, weight.stride(0), *more, column, to)
        column += weight.shape[0]
    return whole[skip:]
