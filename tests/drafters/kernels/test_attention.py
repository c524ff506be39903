"""Folding query heads into query rows changes nothing but the work."""

from __future__ import annotations

import pytest
import torch

from drafters.kernels.attention import grouped_attention


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
def test_grouped_attention_is_attention_with_repeated_heads(heads: int, kv_heads: int, length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, length, 8, generator=generator)
    key, value = torch.randn(2, 2, kv_heads, 9, 8, generator=generator)
    hidden = torch.rand(2, 1, length, 9, generator=generator) < 0.5
    hidden[..., 0] = False
    mask = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)
    found = grouped_attention(query, key, value, mask, scale=0.7)

    repeated = [rows.repeat_interleave(heads // kv_heads, dim=1) for rows in (key, value)]
    weights = (0.7 * query @ repeated[0].transpose(-1, -2)).masked_fill(hidden, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(found, (weights @ repeated[1]).transpose(1, 2))
