"""z-lab's DFlash and DFlash 2: Qwen3-style layers that borrow the target's embedding and head.

`model_type` is "qwen3", so nothing but `architectures` tells them apart. Keys special to DFlash stand at the top level
or under `dflash_config`; the rotary base in `rope_theta` or `rope_parameters`. DFlash 2 adds dynamic convolutions and
a path selector (https://inco.ai/blog/dflash2).
"""

from __future__ import annotations

from typing import Any

from drafters.dflash_config import DFlashConfig
from drafters.dflash_model import DFlashModel
from drafters.layouts.base import Keys, Layout, architecture, located, rope_theta

V1, V2 = "DFlashDraftModel", "DFlash2DraftModel"


def qwen3_layers(keys: Keys) -> dict[str, Any]:
    """The entries that describe Qwen3-style layers, as DFlashConfig names them."""
    if keys.get("hidden_act", "silu") != "silu":
        raise keys.error(f"hidden_act is {keys.get('hidden_act')!r}, expected 'silu'")
    layers, heads = keys.whole("num_hidden_layers"), keys.whole("num_attention_heads")
    return {
        "hidden_size": keys.whole("hidden_size"),
        "intermediate_size": keys.whole("intermediate_size"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.get("num_key_value_heads", heads),
        "head_dim": keys.get("head_dim") or keys.whole("hidden_size") // heads,
        "vocab_size": keys.whole("vocab_size"),
        "layer_types": tuple(keys.get("layer_types") or ["full_attention"] * layers),
        "sliding_window": keys.get("sliding_window"),
        "rope_theta": rope_theta(keys),
        "rms_norm_eps": keys.number("rms_norm_eps", 1e-6),
        "attention_bias": bool(keys.get("attention_bias", False)),
        "max_position_embeddings": keys.get("max_position_embeddings", 262_144),
    }


def _parse(raw: dict[str, Any], key: str, name: str, extra: dict[str, Any]) -> DFlashConfig:
    keys = Keys(key, f"a {name} drafter", raw.get("dflash_config") or {}, raw)
    for shared in ("block_size", "mask_token_id", "target_layer_ids"):
        keys.same(shared)
    values = {
        **qwen3_layers(keys),
        "block_size": keys.need("block_size"),
        "mask_token_id": keys.whole("mask_token_id"),
        "target_layer_ids": keys.wholes("target_layer_ids"),
        "num_target_layers": keys.get("num_target_layers"),
        "input_embedding_scale": keys.number("input_embedding_scale"),
        "output_multiplier": keys.number("output_multiplier", 1.0),
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "is_causal": keys.get("is_causal", keys.get("causal")),
        "layout": name,
        **{ours: keys.whole(theirs) for ours, theirs in extra.items()},
    }
    return located(key, lambda: DFlashConfig(**values))


def parse_v1(raw: dict[str, Any], key: str) -> DFlashConfig:
    return _parse(raw, key, "z-lab DFlash", {})


def parse_v2(raw: dict[str, Any], key: str) -> DFlashConfig:
    names = ("conv_kernel_size", "conv_group_size", "selector_rank", "selector_top_k")
    return _parse(raw, key, "z-lab DFlash 2", {name: name for name in names})


def _is(name: str, raw: dict[str, Any]) -> bool:
    return architecture(raw) == name and "speculators_model_type" not in raw


DFLASH = Layout(
    name="z-lab DFlash",
    kind="dflash",
    marker=f'architectures ["{V1}"]',
    matches=lambda raw: _is(V1, raw),
    parse=parse_v1,
    build=DFlashModel,
)
DFLASH2 = Layout(
    name="z-lab DFlash 2",
    kind="dflash",
    marker=f'architectures ["{V2}"]',
    matches=lambda raw: _is(V2, raw),
    parse=parse_v2,
    build=DFlashModel,
)
