"""z-lab's published DFlash layout: `architectures: ["DFlashDraftModel"]` with Qwen3-style keys.

Its `model_type` is "qwen3", so nothing but the architecture tells it apart. Keys special to DFlash stand at the top
level or under `dflash_config`; the rotary base stands in `rope_theta` or `rope_parameters`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.checkpoint import load_exactly, read_config, read_tensors
from drafters.dflash_model import DFlashConfig, DFlashModel
from drafters.errors import InputError

ARCHITECTURE = "DFlashDraftModel"


def parse_config(raw: dict[str, Any], key: str = "drafters.dflash.path") -> DFlashConfig:
    """The one spelling of a published config.json. Raises InputError naming the missing or unusable entry."""
    nested = raw.get("dflash_config") or {}

    def special(name: str, default: Any = None) -> Any:
        return nested.get(name, raw.get(name, default))

    def required(name: str) -> Any:
        value = special(name)
        if value is None:
            raise InputError(f"{key}: config.json has no {name}, which a DFlash drafter needs")
        return value

    if raw.get("hidden_act", "silu") != "silu":
        raise InputError(f"{key}: hidden_act is {raw['hidden_act']!r}, expected 'silu'")
    rope = raw.get("rope_parameters") or {}
    scaling = raw.get("rope_scaling") or {}
    kind = rope.get("rope_type", scaling.get("rope_type", "default"))
    if kind not in ("default", None):
        raise InputError(f"{key}: rope_type is {kind!r}, expected 'default' (no scaling)")
    theta = rope.get("rope_theta", raw.get("rope_theta"))
    if theta is None:
        raise InputError(f"{key}: config.json has neither rope_theta nor rope_parameters.rope_theta")
    layers = required("num_hidden_layers")
    heads = required("num_attention_heads")
    scale = special("input_embedding_scale")
    cap = special("final_logit_softcapping")
    return DFlashConfig(
        hidden_size=required("hidden_size"),
        intermediate_size=required("intermediate_size"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=raw.get("num_key_value_heads", heads),
        head_dim=raw.get("head_dim") or required("hidden_size") // heads,
        vocab_size=required("vocab_size"),
        block_size=required("block_size"),
        mask_token_id=required("mask_token_id"),
        target_layer_ids=tuple(required("target_layer_ids")),
        layer_types=tuple(raw.get("layer_types") or ["full_attention"] * layers),
        sliding_window=raw.get("sliding_window"),
        rope_theta=float(theta),
        rms_norm_eps=raw.get("rms_norm_eps", 1e-6),
        attention_bias=raw.get("attention_bias", False),
        max_position_embeddings=raw.get("max_position_embeddings", 262_144),
        num_target_layers=special("num_target_layers"),
        input_embedding_scale=None if scale is None else float(scale),
        output_multiplier=float(special("output_multiplier", 1.0)),
        final_logit_softcapping=None if cap is None else float(cap),
        is_causal=special("is_causal", special("causal")),
    )


def load_dflash(folder: Path, key: str, device: torch.device, dtype: torch.dtype) -> DFlashModel:
    """The network of a checkpoint folder, on `device` in `dtype`."""
    config = parse_config(read_config(folder, key), key)
    with torch.device("meta"):
        model = DFlashModel(config)
    load_exactly(model, read_tensors(folder, key), f"{key}: {folder}")
    return model.to(device=device, dtype=dtype)
