"""A mixture's experts for the few tokens of a round, as GPUs read them fastest.

transformers' grouped product starts one group per expert, which a GPU does at a third of its bandwidth when a group has
one or two tokens.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers.activations import GELUTanh
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

if torch.cuda.is_available():
    from harness.target.expert_kernels import product_by_expert

EXPERTS = "few_tokens"
MOST_PAIRS = 2048  # of token and expert; above, groups are large enough for a grouped product, as in a prefill


def use_few_tokens_experts(text_model: Any, undo: ExitStack) -> None:
    """Let a mixture's layers use `few_tokens_experts` until `undo` is closed."""
    undo.callback(text_model.set_experts_implementation, text_model.config._experts_implementation)
    text_model.set_experts_implementation(EXPERTS)


def grouped_experts(experts: Any, hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """The mixture's output [T, H] for `hidden` [T, H], each token's experts `top_k_index` and weights [T, K]."""
    pairs = top_k_index.reshape(-1)  # [T*K]
    active = product_by_expert(hidden, experts.gate_up_proj, pairs, True)  # [T*K, intermediate]
    out = product_by_expert(active, experts.down_proj, pairs, False)  # [T*K, H]
    return (out.view(*top_k_index.shape, -1) * top_k_weights[..., None]).sum(dim=1).to(hidden.dtype)


def few_tokens_experts(experts: Any, hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """`grouped_experts` for a round's tokens on CUDA, transformers' own implementations elsewhere."""
    if hidden.is_cuda and top_k_index.numel() <= MOST_PAIRS and isinstance(experts.act_fn, GELUTanh):
        return grouped_experts(experts, hidden, top_k_index, top_k_weights)
    # Grouped kernels exist in bf16 only; otherwise the host loops over experts, which no graph can hold.
    own = "grouped_mm" if hidden.dtype == torch.bfloat16 else "batched_mm"
    out: Tensor = ALL_EXPERTS_FUNCTIONS[own](experts, hidden, top_k_index, top_k_weights)
    return out


ALL_EXPERTS_FUNCTIONS.register(EXPERTS, few_tokens_experts)
