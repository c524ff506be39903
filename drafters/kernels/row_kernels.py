"""A linear layer for the few rows of a round on a GPU, as fast as its weights are read.

Programs that each take few columns keep more of a weight matrix in flight than a library's tiles, which are cut for
many rows: 3.1 instead of 2.7 TB/s with one row, on an H100 that copies at 3.0.
"""

from __future__ import annotations

import torch
import triton  # comes with every torch that has CUDA, where alone this module is imported
import triton.language as tl
from torch import Tensor

ROWS = 16  # the fewest that tensor cores take
DEEP = 1024  # elements of a weight's row that are read at once, for one row
MANY_COLUMNS = 8192
#: By whether there are many columns: columns and inner elements of a tile, warps and stages of its loop.
TILES = {True: (64, 128, 4, 4), False: (16, 256, 4, 4)}


@triton.jit
def _one_row(x, weight, out, inner: tl.constexpr, DEEP: tl.constexpr):  # type: ignore[no-untyped-def]
    column = tl.program_id(0)
    weight += column.to(tl.int64) * inner
    total = tl.zeros((DEEP,), tl.float32)
    for start in range(0, inner, DEEP):
        at = start + tl.arange(0, DEEP)
        w = tl.load(weight + at, mask=at < inner, other=0.0, eviction_policy="evict_first")
        total += w.to(tl.float32) * tl.load(x + at, mask=at < inner, other=0.0).to(tl.float32)
    tl.store(out + column, tl.sum(total))


@triton.jit
def _few_rows(  # type: ignore[no-untyped-def]
    x, weight, out, rows, columns: tl.constexpr, inner: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = (tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    source = weight + column.to(tl.int64) * inner
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, inner, INNER):
        at = start + tl.arange(0, INNER)
        of_rows = tl.load(x + row * inner + at[None, :], mask=(row < rows) & (at < inner)[None, :], other=0.0)
        w = tl.load(source + at[:, None], mask=(at < inner)[:, None] & (column < columns), other=0.0)
        total = tl.dot(of_rows, w, total)
    tl.store(out + row * columns + column, total, mask=(row < rows) & (column < columns))


@torch.library.custom_op("drafthouse::product_of_few_rows", mutates_args=())
def product_of_few_rows(x: Tensor, weight: Tensor) -> Tensor:
    """`x` [M, H] times `weight` [N, H] transposed, [M, N], for up to `ROWS` rows of bf16."""
    x = x.contiguous()
    rows, (columns, inner) = len(x), weight.shape
    out = x.new_empty(rows, columns)
    if rows == 1:
        _one_row[(columns,)](x, weight, out, inner, DEEP=DEEP, num_warps=4)
        return out
    wide, deep, warps, stages = TILES[columns >= MANY_COLUMNS]
    _few_rows[(triton.cdiv(columns, wide),)](
        x, weight, out, rows, columns, inner, ROWS=ROWS, COLUMNS=wide, INNER=deep, num_warps=warps, num_stages=stages
    )
    return out


@product_of_few_rows.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))
