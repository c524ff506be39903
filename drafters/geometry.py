"""The parts of a Gemma 4 config.json on which target and drafter must agree, from plain dictionaries."""

from __future__ import annotations

from typing import Any

from drafters.errors import InputError


def text_config(raw: dict[str, Any]) -> dict[str, Any]:
    """The text part of a config dict. Raises InputError where it is no object."""
    text = raw.get("text_config") or raw
    if not isinstance(text, dict):
        raise InputError(f"text_config is {text!r}, expected an object")
    return text


def kv_geometry(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Head width and key/value heads per layer type, from a Gemma 4 text config in either of its spellings."""
    kinds = config.get("layer_types") or ["full_attention"]
    per_layer = config.get("per_layer_config") or {}
    try:  # transformers writes these keys as whole numbers, padded to the width of the longest ("05").
        overrides = {int(index): dict(layer) for index, layer in per_layer.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"per_layer_config is {per_layer!r}, expected objects by layer number") from error
    shapes: dict[str, tuple[int, int]] = {}
    for index, kind in enumerate(kinds):
        dim, heads = config.get("head_dim", 256), config.get("num_key_value_heads", 4)
        layer = overrides.get(index)
        if layer:
            dim, heads = layer.get("head_dim", dim), layer.get("num_key_value_heads", heads)
        elif kind == "full_attention" and not overrides:
            dim = config.get("global_head_dim") or 512
            if config.get("attention_k_eq_v"):
                heads = config.get("num_global_key_value_heads") or heads
        shapes.setdefault(kind, (dim, heads))
    return shapes
