"""A mixture's experts for the few tokens of a round, as one program reads them.

transformers' grouped product sorts tokens by expert and starts one group per expert, which a GPU does at a third of its
bandwidth when a group has one or two tokens. Compiled, gathering each token's experts and reducing is one kernel per
projection that gathers nothing into memory: it reads the chosen rows where they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

EXPERTS = "few_tokens"
MOST_PAIRS = 256  # pairs of token and expert that are read one by one; above, groups are large enough


def chosen_experts(experts: Any, hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """The mixture's output [T, H] for `hidden` [T, H], each token's experts `top_k_index` and weights [T, K].

    1. Order the pairs of token and expert by expert, so that one that several tokens chose is read in one stretch.
    2. Gate and up, then down, each a product and a sum over rows read by index, summed in fp32.
    3. Back in the tokens' order, so that sums come out alike every time.
    """
    tokens, chosen = top_k_index.shape
    pairs = top_k_index.reshape(-1)  # [T*K]
    place = torch.arange(len(pairs), device=pairs.device)
    same_before = (pairs == pairs[:, None]) & (place < place[:, None])
    back = ((pairs < pairs[:, None]) | same_before).sum(dim=1)  # [T*K], where each pair stands by expert
    order = torch.zeros_like(back).scatter_(0, back, place)
    ids, rows = pairs[order], stored(hidden[order // chosen])  # [T*K], [T*K, H]
    both = (experts.gate_up_proj[ids] * rows[:, None]).sum(dim=-1, dtype=torch.float32).to(hidden.dtype)
    gate, up = both.chunk(2, dim=-1)
    active = stored(experts.act_fn(gate) * up)  # [T*K, intermediate]
    out = (experts.down_proj[ids] * active[:, None]).sum(dim=-1, dtype=torch.float32)  # [T*K, H]
    weighted = out[back].view(tokens, chosen, -1) * top_k_weights[..., None]
    return weighted.sum(dim=1).to(hidden.dtype)


def stored(x: Tensor) -> Tensor:
    """`x` itself, but written out: the compiler would else compute it anew for every row of weights it is multiplied
    with, which took 464 us a layer where reading the weights takes 80 (16 tokens of 26B-A4B, one H200)."""
    return x.as_strided(x.shape, x.stride())


def few_tokens_experts(experts: Any, hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """`chosen_experts` in a compiled round, transformers' own ways elsewhere."""
    if torch.compiler.is_compiling() and top_k_index.numel() <= MOST_PAIRS:
        return chosen_experts(experts, hidden, top_k_index, top_k_weights)
    # Grouped kernels exist in bf16 alone; otherwise the host loops over experts, which no graph can hold.
    own = "grouped_mm" if hidden.dtype == torch.bfloat16 else "batched_mm"
    out: Tensor = ALL_EXPERTS_FUNCTIONS[own](experts, hidden, top_k_index, top_k_weights)
    return out


ALL_EXPERTS_FUNCTIONS.register(EXPERTS, few_tokens_experts)
