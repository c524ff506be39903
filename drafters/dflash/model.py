"""The DFlash drafter's network: a small transformer that denoises a masked block in one pass.

Each layer's queries come from the block alone; its keys and values come from the block and from the target's features
of every verified token before it (https://arxiv.org/abs/2602.06036). Tensor names follow the published checkpoints.
All layouts share `BlockModel`; `DFlashModel` has the Qwen3-style layers of most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drafters.dflash.config import DFlashConfig
from drafters.dflash.parts import CandidateSelector, ConfidenceHead, DynamicConv, MarkovHead
from drafters.kernels.attention import grouped_attention
from drafters.positions import additive
from drafters.sampling import soft_cap

#: Takes a layer's new block keys and values [B, Hkv, L, D] and returns all it may attend to [B, Hkv, S, D].
Join = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class BlockModel(nn.Module):
    """The surroundings of the layers. Embedding and head are the target's unless the checkpoint brings its own."""

    embed_tokens: nn.Embedding | None
    lm_head: nn.Linear | None
    d2t: Tensor | None
    t2d: Tensor | None
    candidate_selector: CandidateSelector | None
    markov_head: MarkovHead | None
    confidence_head: ConfidenceHead | None

    def __init__(self, config: DFlashConfig, norm: Callable[..., nn.Module] = nn.RMSNorm) -> None:
        super().__init__()
        self.config = config
        hidden, vocab = config.hidden_size, config.vocab_size
        self.fc = nn.Linear(len(config.target_layer_ids) * hidden, hidden, bias=False)
        self.hidden_norm = norm(hidden, eps=config.rms_norm_eps)
        self.norm = norm(hidden, eps=config.rms_norm_eps)
        self.embed_tokens = nn.Embedding(vocab, hidden) if config.own_embedding else None
        self.lm_head = nn.Linear(hidden, config.head_size, bias=False) if config.own_head else None
        reduced = config.draft_vocab_size is not None
        self.register_buffer("d2t", torch.zeros(config.head_size, dtype=torch.long) if reduced else None)
        self.register_buffer("t2d", torch.zeros(vocab, dtype=torch.bool) if reduced else None)
        rank = config.selector_rank
        self.candidate_selector = CandidateSelector(vocab, hidden, rank, config.selector_top_k) if rank else None
        rank = config.markov_rank
        self.markov_head = MarkovHead(vocab, config.head_size, rank) if rank else None
        features = hidden + (rank if config.confidence_with_markov else 0)
        self.confidence_head = ConfidenceHead(features) if config.confidence_head else None

    def fill_constants(self) -> None:
        """Compute the constants that no checkpoint stores, after the weights have been loaded."""

    def context_features(self, taps: Tensor) -> Tensor:
        """Features [B, W, H] of verified tokens, from the tapped layers' outputs [B, W, T*H]."""
        return self.hidden_norm(self.fc(taps))

    def embed(self, tokens: Tensor, borrowed: Tensor, scale: float) -> Tensor:
        """The block's input [B, L, H]: the own embedding's rows, else those of `borrowed` [V, H], times `scale`."""
        table = borrowed if self.embed_tokens is None else self.embed_tokens.weight
        return F.embedding(tokens, table).to(self.fc.weight.dtype) * scale

    def logits(self, hidden: Tensor, borrowed: nn.Module, dtype: torch.dtype) -> Tensor:
        """Draft logits [B, L, head vocabulary] by the own head, else by the `borrowed` one, which runs in `dtype`."""
        raw = borrowed(hidden.to(dtype)) if self.lm_head is None else self.lm_head(hidden)
        if self.config.output_multiplier != 1.0:
            raw = raw * self.config.output_multiplier
        return soft_cap(raw, self.config.final_logit_softcapping)

    def context_keys_values(self, context: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Every layer's context keys and values [B, Hkv, W, D] from features [B, W, H] at `positions` [B, W]."""
        raise NotImplementedError

    def denoise(self, x: Tensor, positions: Tensor, joins: Sequence[Join], masks: Sequence[Tensor]) -> Tensor:
        """Normed hidden states [B, L, H] of the block `x` [B, L, H]; one `join` and one additive mask per layer."""
        raise NotImplementedError


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
    attention_conv: DynamicConv | None
    mlp_conv: DynamicConv | None

    def __init__(self, config: DFlashConfig) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = nn.RMSNorm(hidden, eps=eps)
        self.self_attn = DFlashAttention(config)
        self.post_attention_layernorm = nn.RMSNorm(hidden, eps=eps)
        self.mlp = DFlashMLP(config)
        taps, group = config.conv_kernel_size, config.conv_group_size
        self.attention_conv = DynamicConv(hidden, taps, group) if taps else None
        self.mlp_conv = DynamicConv(hidden, taps, group) if taps else None

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, join: Join, mask: Tensor) -> Tensor:
        def attend(h: Tensor) -> Tensor:
            return self.self_attn(h, cos, sin, join, mask)

        x = x + convolved(attend, self.attention_conv, self.input_layernorm(x))
        return x + convolved(self.mlp, self.mlp_conv, self.post_attention_layernorm(x))


def convolved(sublayer: Callable[[Tensor], Tensor], conv: DynamicConv | None, x: Tensor) -> Tensor:
    """`sublayer` of `x`, between the two passes of `conv` where there is one."""
    if conv is None:
        return sublayer(x)
    x, correction = conv.before(x)
    return conv.after(sublayer(x), correction)


class DFlashModel(BlockModel):
    """The network with Qwen3-style layers: pre-norm, SwiGLU, one rotary embedding."""

    def __init__(self, config: DFlashConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(DFlashLayer(config) for _ in range(config.num_hidden_layers))

    def rope(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return rotary(positions, self.config.head_dim, self.config.rope_theta, dtype)

    def context_keys_values(self, context: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        cos, sin = self.rope(positions, context.dtype)
        return [layer.self_attn.keys_values(context, cos, sin) for layer in self.blocks()]

    def blocks(self) -> list[DFlashLayer]:
        return [layer for layer in self.layers if isinstance(layer, DFlashLayer)]

    def project_context(self, layer: int, context: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """`context_keys_values` of one layer."""
        cos, sin = self.rope(positions, context.dtype)
        return self.blocks()[layer].self_attn.keys_values(context, cos, sin)

    def denoise(self, x: Tensor, positions: Tensor, joins: Sequence[Join], masks: Sequence[Tensor]) -> Tensor:
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
