"""The DFlash drafter's network: a small transformer that denoises a masked block in one pass.

Each layer's queries come from the block alone; its keys and values come from the block and from the target's features
of every verified token before it (https://arxiv.org/abs/2602.06036). The network has no embedding and no head: it
borrows the target's. Tensor names follow the published `DFlashDraftModel` checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drafters.attention import grouped_attention
from drafters.errors import InputError
from drafters.positions import additive

#: Takes a layer's new block keys and values [B, Hkv, L, D] and returns all it may attend to [B, Hkv, S, D].
Join = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DFlashConfig:
    """What a DFlash `config.json` says, under one spelling. `input_embedding_scale` None means the file is silent."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    block_size: int
    mask_token_id: int
    target_layer_ids: tuple[int, ...]
    layer_types: tuple[str, ...]
    sliding_window: int | None = None
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    max_position_embeddings: int = 262_144
    num_target_layers: int | None = None
    input_embedding_scale: float | None = None
    output_multiplier: float = 1.0
    final_logit_softcapping: float | None = None
    is_causal: bool | None = None  # None: causal within the block exactly on sliding layers

    def __post_init__(self) -> None:
        if len(self.layer_types) != self.num_hidden_layers:
            raise InputError(
                f"layer_types names {len(self.layer_types)} layers, expected num_hidden_layers={self.num_hidden_layers}"
            )
        if self.block_size < 2:
            raise InputError(f"block_size is {self.block_size}, expected at least 2 (the anchor and one mask)")
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"num_attention_heads={self.num_attention_heads} is no multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        if "sliding_attention" in self.layer_types and not self.sliding_window:
            raise InputError("layer_types has sliding_attention, but sliding_window is not set")

    def causal(self, layer: int) -> bool:
        """Whether a block slot of this layer sees only the slots before it."""
        return self.layer_types[layer] == "sliding_attention" if self.is_causal is None else self.is_causal

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.layer_types[layer] == "sliding_attention" else None


def rotary(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin [B, 1, L, D] of plain NeoX rotary embedding at absolute `positions` [B, L]."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions[:, None, :, None].float() * theta**-exponent  # [B, 1, L, D/2]
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `x` [B, heads, L, D] by its positions."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class DFlashAttention(nn.Module):
    def __init__(self, config: DFlashConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.scale = config.head_dim**-0.5
        hidden, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(hidden, config.num_attention_heads * config.head_dim, bias=bias)
        self.k_proj = nn.Linear(hidden, config.num_key_value_heads * config.head_dim, bias=bias)
        self.v_proj = nn.Linear(hidden, config.num_key_value_heads * config.head_dim, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * config.head_dim, hidden, bias=bias)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)

    def keys_values(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Rotated keys and values [B, Hkv, L, D] of `x` [B, L, H]."""
        shape = (*x.shape[:2], -1, self.head_dim)
        keys = self.k_norm(self.k_proj(x).view(shape)).transpose(1, 2)
        return rotate(keys, cos, sin), self.v_proj(x).view(shape).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, join: Join, mask: Tensor) -> Tensor:
        batch, length = x.shape[:2]
        query = self.q_norm(self.q_proj(x).view(batch, length, -1, self.head_dim)).transpose(1, 2)
        keys, values = join(*self.keys_values(x, cos, sin))
        out = grouped_attention(rotate(query, cos, sin), keys, values, mask, self.scale)
        return self.o_proj(out.reshape(batch, length, -1))


class DFlashMLP(nn.Module):
    def __init__(self, config: DFlashConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DFlashLayer(nn.Module):
    def __init__(self, config: DFlashConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = DFlashAttention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = DFlashMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, join: Join, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, join, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class DFlashModel(nn.Module):
    """The published network. Embedding and head belong to the target and are passed in by the caller."""

    def __init__(self, config: DFlashConfig) -> None:
        super().__init__()
        self.config = config
        taps = len(config.target_layer_ids)
        self.fc = nn.Linear(taps * config.hidden_size, config.hidden_size, bias=False)
        self.hidden_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.layers = nn.ModuleList(DFlashLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def context_features(self, taps: Tensor) -> Tensor:
        """Features [B, W, H] of verified tokens, from the tapped layers' outputs [B, W, T*H]."""
        return self.hidden_norm(self.fc(taps))

    def rope(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return rotary(positions, self.config.head_dim, self.config.rope_theta, dtype)

    def context_keys_values(self, context: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Every layer's context keys and values [B, Hkv, W, D] from features [B, W, H] at `positions` [B, W]."""
        cos, sin = self.rope(positions, context.dtype)
        return [layer.self_attn.keys_values(context, cos, sin) for layer in self.blocks()]

    def blocks(self) -> list[DFlashLayer]:
        return [layer for layer in self.layers if isinstance(layer, DFlashLayer)]

    def project_context(self, layer: int, context: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one layer."""
        cos, sin = self.rope(positions, context.dtype)
        return self.blocks()[layer].self_attn.keys_values(context, cos, sin)

    def denoise(self, x: Tensor, positions: Tensor, joins: list[Join], masks: list[Tensor]) -> Tensor:
        """Normed hidden states [B, L, H] of the block `x` [B, L, H]; one `join` and one additive mask per layer."""
        cos, sin = self.rope(positions, x.dtype)
        for layer, join, mask in zip(self.layers, joins, masks, strict=True):
            x = layer(x, cos, sin, join, mask)
        return self.norm(x)

    def forward_block(
        self, x: Tensor, positions: Tensor, context_kv: list[tuple[Tensor, Tensor]], masks: dict[str, Tensor]
    ) -> Tensor:
        """`denoise` with the context given as tensors: keys and values [B, Hkv, S, D] per layer, and boolean masks
        [B, 1, L, S+L] per layer type over context rows, then block rows. Used in training."""

        def joiner(context: tuple[Tensor, Tensor]) -> Join:
            return lambda k, v: (torch.cat((context[0], k), dim=2), torch.cat((context[1], v), dim=2))

        scores = {kind: additive(mask, x.dtype) for kind, mask in masks.items()}
        return self.denoise(
            x, positions, [joiner(kv) for kv in context_kv], [scores[kind] for kind in self.config.layer_types]
        )
