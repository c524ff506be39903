"""Does a drafter fit a target? Told from the two configs alone, before any weight is read."""

from __future__ import annotations

from typing import Any

from drafters.dflash.config import DFlashConfig
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


def _equal(key: str, what: str, mine: Any, wanted: Any, hint: str = "") -> None:
    if mine != wanted:
        raise InputError(f"{key}: the drafter's {what} is {mine}, expected {wanted} as in the target{hint}")


def check_mtp(raw: dict[str, Any], target: dict[str, Any], key: str) -> None:
    from drafters.layouts.known import layout_of

    layout_of(raw, key, "mtp")
    text = text_config(raw)
    _equal(key, "backbone_hidden_size", raw.get("backbone_hidden_size"), target["hidden_size"])
    _equal(key, "vocab_size", text.get("vocab_size"), target["vocab_size"])
    shapes = kv_geometry(target)
    for layer_type, shape in kv_geometry(text).items():
        what = f"{layer_type} (head_dim, key/value heads)"
        _equal(key, what, shape, shapes.get(layer_type), ", whose cache it reads")
    if "sliding_attention" in (text.get("layer_types") or []):
        _equal(key, "sliding_window", text.get("sliding_window"), target["sliding_window"], ", whose cache it reads")


def check_dflash(raw: dict[str, Any], target: dict[str, Any], key: str) -> None:
    from drafters.checkpoints.dflash import parse_config

    check_block(parse_config(raw, key), target, key)


def check_block(config: DFlashConfig, target: dict[str, Any], key: str) -> None:
    """The same for a block drafter's config that is read already."""
    layers = target["num_hidden_layers"]
    _equal(key, "hidden_size", config.hidden_size, target["hidden_size"])
    _equal(key, "vocab_size", config.vocab_size, target["vocab_size"])
    if config.num_target_layers is not None:
        _equal(key, "num_target_layers", config.num_target_layers, layers)
    for tap in config.target_layer_ids:
        if not 0 <= tap < layers:
            raise InputError(f"{key}: the drafter taps layer {tap}, expected 0 to {layers - 1} (the target's layers)")
    if not 0 <= config.mask_token_id < config.vocab_size:
        raise InputError(
            f"{key}: mask_token_id is {config.mask_token_id}, expected 0 to {config.vocab_size - 1} (the vocabulary)"
        )


CHECKS = {"mtp": check_mtp, "dflash": check_dflash}


def check_fit(name: str, drafter: dict[str, Any], target: dict[str, Any], key: str) -> None:
    """Raise InputError with the first reason why drafter and target configs do not belong together.

    `drafter` and `target` are config.json contents; the target's may be the whole or its text part.
    """
    if name in CHECKS:
        CHECKS[name](drafter, text_config(target), key)
