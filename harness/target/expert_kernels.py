"""A mixture's two products on a GPU, each chosen expert's weights read once for all tokens that chose it.

A round has a handful of tokens, so an expert has one or two and a product is as fast as its weights are read. Tensor
cores take 16 rows at a time; most of them are padding, which costs nothing while the kernel waits for memory.
"""

from __future__ import annotations

import torch
import triton  # comes with every torch that has CUDA, where alone this module is imported
import triton.language as tl
from torch import Tensor

PAIRS = 128  # looked through at a time
#: By whether gate and up are computed, and whether there is one token only: columns and inner elements of a tile, warps
#: and stages of its loop.
TILES = {
    (True, True): (32, 128, 4, 4),
    (True, False): (32, 256, 4, 3),
    (False, True): (64, 64, 4, 4),
    (False, False): (64, 128, 4, 4),
}


@triton.jit
def _product(  # type: ignore[no-untyped-def]  # parameters are the compiler's: pointers, numbers, constants
    rows, weights, pairs, out, share, count, columns: tl.constexpr, inner: tl.constexpr, gated: tl.constexpr,
    EACH: tl.constexpr, PAIRS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    # 1. One program per expert where EACH; otherwise per pair, of which an expert's first works for all its pairs.
    slot = tl.program_id(0)
    if EACH:
        expert = slot
    else:
        expert = tl.load(pairs + slot).to(tl.int32)
    found = 0
    earlier = 0
    for start in range(0, count, PAIRS):
        place = start + tl.arange(0, PAIRS)
        same = (tl.load(pairs + place, mask=place < count, other=-1).to(tl.int32) == expert).to(tl.int32)  # [PAIRS]
        found += tl.sum(same)
        earlier += tl.sum(tl.where(place < slot, same, 0))
    if not EACH:
        found = tl.where(earlier > 0, 0, found)

    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    weight = weights + expert.to(tl.int64) * (columns * inner * (2 if gated else 1))
    weight += column[None, :] * inner
    for before in range(0, found, ROWS):
        # 2. Up to ROWS of the expert's pairs, and the row of the input that each one reads.
        row = before + tl.arange(0, ROWS)
        pair = tl.zeros((ROWS,), tl.int32)
        passed = 0
        for start in range(0, count, PAIRS):
            place = start + tl.arange(0, PAIRS)
            same = (tl.load(pairs + place, mask=place < count, other=-1).to(tl.int32) == expert).to(tl.int32)
            rank = passed + tl.cumsum(same, 0) - 1
            is_row = (rank[None, :] == row[:, None]) & (same[None, :] > 0)  # [ROWS, PAIRS]
            pair += tl.sum(tl.where(is_row, place[None, :], 0), axis=1)
            passed += tl.sum(same)
        there = row < found
        source = rows + (pair // share)[:, None].to(tl.int64) * inner

        # 3. The product in fp32, gate and up side by side.
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        other = tl.zeros((ROWS, COLUMNS), tl.float32)
        for start in range(0, inner, INNER):
            at = start + tl.arange(0, INNER)
            x = tl.load(source + at[None, :], mask=there[:, None] & (at < inner)[None, :], other=0.0)
            inside = (at < inner)[:, None] & (column < columns)[None, :]
            w = tl.load(weight + at[:, None], mask=inside, other=0.0)
            total = tl.dot(x, w, total, input_precision="ieee")
            if gated:
                w = tl.load(weight + columns * inner + at[:, None], mask=inside, other=0.0)
                other = tl.dot(x, w, other, input_precision="ieee")

        # 4. GELU in its tanh form, rounded where transformers rounds.
        if gated:
            kind = rows.dtype.element_ty
            gate = total.to(kind).to(tl.float32)
            bent = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
            total = (gate * tl.sigmoid(2 * bent)).to(kind).to(tl.float32) * other.to(kind).to(tl.float32)
        aim = out + pair[:, None].to(tl.int64) * columns + column[None, :]
        tl.store(aim, total, mask=there[:, None] & (column < columns)[None, :])


@torch.library.custom_op("drafthouse::product_by_expert", mutates_args=())
def product_by_expert(rows: Tensor, weights: Tensor, pairs: Tensor, gated: bool) -> Tensor:
    """`rows` [T, H] times each pair's expert of `weights` [E, N, H], for `pairs` [T * K] of token and expert.

    Pairs are expert ids, a token's K side by side. `gated`: the tanh GELU of the product's first half times its second
    half, [T * K, N / 2] in the rows' dtype; otherwise the product, [T * K, N] in fp32.
    """
    experts, count = len(weights), len(pairs)
    columns, inner = weights.shape[1] // (2 if gated else 1), weights.shape[2]
    wide, deep, warps, stages = TILES[gated, count <= experts // 8]
    out = rows.new_empty(count, columns, dtype=rows.dtype if gated else torch.float32)
    _product[(min(count, experts), triton.cdiv(columns, wide))](
        rows, weights, pairs, out, count // len(rows), count, columns, inner, gated,
        EACH=count >= experts, PAIRS=PAIRS, ROWS=16 if count <= 4 * experts else 32, COLUMNS=wide, INNER=deep,
        num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return out


@product_by_expert.register_fake
def _(rows: Tensor, weights: Tensor, pairs: Tensor, gated: bool) -> Tensor:
    columns = weights.shape[1] // (2 if gated else 1)
    return rows.new_empty(len(pairs), columns, dtype=rows.dtype if gated else torch.float32)
