"""Compiled element-wise kernels: on a CPU, training spends most of its time in separate element-wise passes.

The norm alone runs 20 times faster than its eager form on two cores. Only small functions are compiled: whole layers
take minutes. The model's modules and weights stay transformers' own; without a C++ compiler everything
runs eagerly, slower and with the same result.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gemma4 import modeling_gemma4

import harness.decoding.compiled.inductor_private  # noqa: F401  (norms of several widths share a function: raises limits)
from drafters.dflash import model as dflash_model

ATTENTION = "drafthouse_training"


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * weight.float()).type_as(x)


def _norm_plain(x: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).type_as(x)


def _rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).type_as(x)


def _weights(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(scores.float() + mask, dim=-1).type_as(scores)


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    return (F.gelu(gate.float(), approximate="tanh") * up.float()).type_as(gate)


def _nll(logits: Tensor, labels: Tensor, cap: float) -> Tensor:
    wide = torch.tanh(logits.float() / cap) * cap
    return torch.logsumexp(wide, dim=-1) - wide.gather(-1, labels[:, None]).squeeze(-1)


def _distill(draft: Tensor, teacher: Tensor, hard_share: float) -> Tensor:
    wide = torch.log_softmax(draft.float(), dim=-1)
    soft = -(torch.softmax(teacher, dim=-1) * wide).sum(-1)
    hard = -wide.gather(-1, teacher.argmax(-1, keepdim=True)).squeeze(-1)
    return hard_share * hard + (1.0 - hard_share) * soft


def _silu_gated(gate: Tensor, up: Tensor) -> Tensor:
    return (F.silu(gate.float()) * up.float()).type_as(gate)


def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function, dynamic=True) if shutil.which("g++") else function


class Kernels:
    """The compiled functions, built on first use and shared by every model of the process."""

    norm = staticmethod(_norm)
    norm_plain = staticmethod(_norm_plain)
    rope = staticmethod(_rope)
    weights = staticmethod(_weights)
    gated = staticmethod(_gated)
    nll = staticmethod(_nll)
    distill = staticmethod(_distill)
    silu_gated = staticmethod(_silu_gated)


def compile_kernels() -> None:
    """Switch from the eager functions to compiled ones; small runs and tests stay eager."""
    for name, function in (
        ("norm", _norm), ("norm_plain", _norm_plain), ("rope", _rope), ("weights", _weights), ("gated", _gated),
        ("nll", _nll), ("distill", _distill), ("silu_gated", _silu_gated),
    ):  # fmt: skip
        setattr(Kernels, name, staticmethod(_compiled(function)))


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: object
) -> tuple[Tensor, None]:
    """Grouped attention with an additive mask [*, 1, T, S]; query heads of a group share their key rows."""
    batch, heads, length, dim = query.shape
    kv_heads, stored = key.shape[1], key.shape[2]
    folded = query.reshape(batch, kv_heads, -1, dim)  # [B, Hkv, G*T, D]
    scores = folded @ key.transpose(2, 3)
    if scaling != 1.0:
        scores = scores * scaling
    weights = Kernels.weights(scores.view(batch, heads, length, stored), attention_mask)
    out = weights.view(batch, kv_heads, -1, stored) @ value
    return out.view(batch, heads, length, dim).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)


def _norm_forward(self: Any, x: Tensor) -> Tensor:
    flat = x.reshape(-1, x.shape[-1])
    out = Kernels.norm(flat, self.weight, self.eps) if self.with_scale else Kernels.norm_plain(flat, self.eps)
    return out.view(x.shape)


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    out: Tensor = self.down_proj(Kernels.gated(self.gate_proj(x), self.up_proj(x)))
    return out


def _rope_apply(x: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> Tensor:
    return Kernels.rope(x, cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim))


def _torch_norm_forward(self: Any, x: Tensor) -> Tensor:
    return Kernels.norm(x.reshape(-1, x.shape[-1]), self.weight, self.eps).view(x.shape)


def _dflash_mlp_forward(self: Any, x: Tensor) -> Tensor:
    out: Tensor = self.down_proj(Kernels.silu_gated(self.gate_proj(x), self.up_proj(x)))
    return out


def _dflash_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    return _attention(nn.Identity(), query, key.type_as(query), value.type_as(query), mask, scale)[0]


PATCHES: tuple[tuple[Any, str, Any], ...] = (
    (modeling_gemma4.Gemma4RMSNorm, "forward", _norm_forward),
    (modeling_gemma4.Gemma4TextMLP, "forward", _mlp_forward),
    (modeling_gemma4, "apply_rotary_pos_emb", _rope_apply),
    (nn.RMSNorm, "forward", _torch_norm_forward),
    (dflash_model.DFlashMLP, "forward", _dflash_mlp_forward),
    (dflash_model, "grouped_attention", _dflash_attention),
    (dflash_model, "rotate", lambda x, cos, sin: Kernels.rope(x, cos, sin)),
)


@contextmanager
def fused(*configs: Any) -> Iterator[None]:
    """Within the block, Gemma 4 and DFlash modules use the kernels, and models of `configs` the attention above."""
    before = [getattr(owner, name) for owner, name, _ in PATCHES]
    attention = [c._attn_implementation_internal for c in configs]
    for owner, name, new in PATCHES:
        setattr(owner, name, new)
    for config in configs:
        config._attn_implementation_internal = ATTENTION
    try:
        yield
    finally:
        for (owner, name, _), old in zip(PATCHES, before, strict=True):
            setattr(owner, name, old)
        for config, kind in zip(configs, attention, strict=True):
            config._attn_implementation_internal = kind
