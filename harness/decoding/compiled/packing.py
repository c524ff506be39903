"""Weights in the order in which chain.cpp reads them: one copy for all programs, as long as one of them lives.

Copies lie beside each other on large pages: a pass reads all of them, and with pages of 4 KiB a tenth of a small
model's pass goes into finding them.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from harness.decoding.compiled import kernels, package

BLOCK = 32 << 20  # bytes that are taken from the system at once
#: The last block, and its first free byte.
_block: tuple[mmap.mmap, int] | None = None
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
    whole = _room(-(-count // panel) * panel * size + panel)
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


def _room(count: int) -> Tensor:
    """`count` zeros in fp32, on large pages where the system has them. A block lives as long as a tensor in it."""
    global _block
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(count)
    size = -(-4 * count // mmap.PAGESIZE) * mmap.PAGESIZE
    if _block is None or not _packed or _block[1] + size > len(_block[0]):
        _block = mmap.mmap(-1, max(size, BLOCK), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), 0
        with suppress(OSError):  # a kernel without large pages
            _block[0].madvise(mmap.MADV_HUGEPAGE)
    memory, begin = _block
    _block = memory, begin + size
    return torch.frombuffer(memory, dtype=torch.float32, count=count, offset=begin)
