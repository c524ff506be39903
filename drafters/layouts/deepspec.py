"""DeepSpec's drafters for Gemma 4: Gemma's own layers, an embedding and a head of their own.

The config is the target's text config with keys added at top level. All layers attend in full, with the head width,
key/value heads and rotary embedding of the target's full-attention layers; block slots see each other in both
directions; slot i gives the token after its position, so a block of 7 drafts 7. `markov_rank` 0 is DFlash, more is
DSpark (https://arxiv.org/abs/2607.05147). The layers are transformers' Gemma 4 modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4RMSNorm,
    Gemma4TextDecoderLayer,
    Gemma4TextRotaryEmbedding,
    Gemma4TextScaledWordEmbedding,
    apply_rotary_pos_emb,
)

from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import BlockModel, Join
from drafters.gemma4 import CACHE, position_addressed_attention
from drafters.geometry import kv_geometry
from drafters.layouts.base import Keys, Layout, architecture, located, section
from drafters.layouts.harmless import GEMMA_FULL
from drafters.layouts.others import check_projector, refuse_quantized
from drafters.layouts.speculators import dspark_heads

ARCHITECTURE = "Gemma4DSparkModel"
FULL = "full_attention"
#: Entries of the target's text config that its drafter must not have: the published code has no such layers.
UNSUPPORTED = {"enable_moe_block": False, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}


class _JoinedCache:
    """A layer's `join` in the shape of the cache that transformers' attention writes through."""

    def __init__(self, join: Join) -> None:
        self.join = join

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return self.join(keys, values)


class GemmaBlockModel(BlockModel):
    """The block drafter with Gemma 4 layers."""

    def __init__(self, config: DFlashConfig) -> None:
        super().__init__(config, norm=Gemma4RMSNorm)
        text = self.text_config = text_config(config)
        self.embed_tokens = Gemma4TextScaledWordEmbedding(
            config.vocab_size, config.hidden_size, padding_idx=0, embed_scale=config.hidden_size**0.5
        )
        self.layers = nn.ModuleList(Gemma4TextDecoderLayer(text, index) for index in range(config.num_hidden_layers))
        self.rotary_emb = Gemma4TextRotaryEmbedding(text)

    def fill_constants(self) -> None:
        assert isinstance(self.embed_tokens, Gemma4TextScaledWordEmbedding)
        self.embed_tokens.embed_scale = torch.tensor(self.embed_tokens.scalar_embed_scale)
        self.rotary_emb = Gemma4TextRotaryEmbedding(self.text_config)

    def embed(self, tokens: Tensor, borrowed: Tensor, scale: float) -> Tensor:
        assert self.embed_tokens is not None
        return self.embed_tokens(tokens)

    def context_keys_values(self, context: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        cos, sin = self.rotary_emb(context, positions, FULL)
        rows = []
        for layer in self.layers:
            attention: Any = layer.self_attn
            shape = (*context.shape[:2], -1, self.config.head_dim)
            keys = attention.k_proj(context).view(shape)
            values = keys if attention.v_proj is None else attention.v_proj(context).view(shape)
            rotated = apply_rotary_pos_emb(attention.k_norm(keys), cos, sin, unsqueeze_dim=2)
            rows.append((rotated.transpose(1, 2), attention.v_norm(values).transpose(1, 2)))
        return rows

    def denoise(self, x: Tensor, positions: Tensor, joins: Sequence[Join], masks: Sequence[Tensor]) -> Tensor:
        rope = self.rotary_emb(x, positions, FULL)
        with position_addressed_attention(self.text_config):
            for layer, join, mask in zip(self.layers, joins, masks, strict=True):
                x = layer(
                    x,
                    shared_kv_states={},
                    position_embeddings=rope,
                    attention_mask=mask,
                    position_ids=positions,
                    **{CACHE: _JoinedCache(join)},
                )
        return self.norm(x)


def text_config(config: DFlashConfig) -> Gemma4TextConfig:
    """The drafter's layers as transformers describes them."""
    return Gemma4TextConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        num_global_key_value_heads=config.num_key_value_heads,
        global_head_dim=config.head_dim,
        attention_k_eq_v=config.keys_are_values,
        attention_bias=config.attention_bias,
        rms_norm_eps=config.rms_norm_eps,
        max_position_embeddings=config.max_position_embeddings,
        layer_types=[FULL] * config.num_hidden_layers,
        rope_parameters={
            FULL: {
                "rope_type": "proportional",
                "partial_rotary_factor": config.partial_rotary_factor,
                "rope_theta": config.rope_theta,
            }
        },
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=0,
        attn_implementation="sdpa",
    )


def parse(raw: dict[str, Any], key: str) -> DFlashConfig:
    refuse_quantized(raw, key)
    keys = Keys(key, "a DeepSpec drafter", raw)
    check_projector(keys)
    for name, wanted in UNSUPPORTED.items():
        if (keys.get(name) or type(wanted)(0)) != wanted:
            raise keys.error(f"{name} is {raw[name]!r}, expected {wanted!r}")
    kinds = set(keys.words("layer_types") or [FULL])
    if kinds != {FULL}:
        raise keys.error(f"layer_types holds {sorted(kinds - {FULL})[0]!r}, expected {FULL!r} throughout")
    if keys.get("hidden_activation", "gelu_pytorch_tanh") != "gelu_pytorch_tanh":
        raise keys.error(f"hidden_activation is {raw['hidden_activation']!r}, expected 'gelu_pytorch_tanh'")
    layers, shared = keys.whole("num_hidden_layers", least=1), bool(keys.flag("attention_k_eq_v", False))
    head_dim, heads = _key_value_shape(raw, keys, shared)
    theta, turning = _rope(raw, key, keys)
    keys.knows(*GEMMA_FULL)
    values = {
        "hidden_size": keys.whole("hidden_size", least=1),
        "intermediate_size": keys.whole("intermediate_size", least=1),
        "num_hidden_layers": layers,
        "num_attention_heads": keys.whole("num_attention_heads", least=1),
        "num_key_value_heads": heads,
        "head_dim": head_dim,
        "vocab_size": keys.whole("vocab_size", least=1),
        "block_size": keys.need("block_size"),
        "mask_token_id": keys.whole("mask_token_id"),
        "target_layer_ids": keys.wholes("target_layer_ids"),
        "layer_types": (FULL,) * layers,
        "rope_theta": theta,
        "partial_rotary_factor": turning,
        "keys_are_values": shared,
        "rms_norm_eps": keys.number("rms_norm_eps", 1e-6),
        "attention_bias": keys.flag("attention_bias", False),
        "max_position_embeddings": keys.whole("max_position_embeddings", 262_144, least=1),
        "num_target_layers": keys.maybe("num_target_layers"),
        "input_embedding_scale": keys.whole("hidden_size") ** 0.5,
        "final_logit_softcapping": keys.number("final_logit_softcapping"),
        "is_causal": False,
        "predicts_next": True,
        "own_embedding": True,
        "own_head": True,
        **dspark_heads(keys),
    }
    keys.close()
    name = "DeepSpec DSpark" if values["markov_rank"] else "DeepSpec DFlash"
    return located(key, lambda: DFlashConfig(layout=name, **values))


def _key_value_shape(raw: dict[str, Any], keys: Keys, shared: bool) -> tuple[int, int]:
    """Head width and key/value heads. transformers 5.15 and later spell the `global_` entries as per_layer_config."""
    if section(raw, "per_layer_config", keys.key):
        keys.knows("per_layer_config", "global_head_dim")
        return kv_geometry(raw)[FULL]
    name = "num_global_key_value_heads" if shared else "num_key_value_heads"
    return keys.whole("global_head_dim", least=2), keys.whole(name, least=1)


def _rope(raw: dict[str, Any], key: str, keys: Keys) -> tuple[float, float]:
    """Base and turning share of the full layers' rotary embedding; Gemma's where the file is silent."""
    every = section(raw, "rope_parameters", key)
    keys.knows("rope_parameters")
    if every and not isinstance(every.get(FULL), dict):
        raise keys.error(f"rope_parameters has no {FULL}, which a DeepSpec drafter needs")
    rope = Keys(key, f"rope_parameters.{FULL} of a DeepSpec drafter", every.get(FULL) or {})
    if (kind := rope.get("rope_type", "proportional")) != "proportional":
        raise keys.error(f"rope_type is {kind!r}, expected 'proportional'")
    theta, turning = rope.number("rope_theta", 1_000_000.0), rope.number("partial_rotary_factor", 0.25)
    rope.close()
    assert theta is not None and turning is not None
    return theta, turning


DEEPSPEC = Layout(
    name="DeepSpec DFlash or DSpark for Gemma 4",
    kind="dflash",
    marker=f'architectures ["{ARCHITECTURE}"]',
    matches=lambda raw: architecture(raw) == ARCHITECTURE,
    parse=parse,
    build=GemmaBlockModel,
)
