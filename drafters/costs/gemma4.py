"""Shapes of passes of Gemma 4 text models, targets and assistants alike, from their config.json."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drafters.costs.shape import DraftShape, LayerShape, PassShape
from drafters.geometry import kv_geometry, text_config

FULL = "full_attention"


def layer_shapes(config: dict[str, Any]) -> tuple[LayerShape, ...]:
    """The layers of a Gemma 4 text config, like ones counted together."""
    kinds, hidden = list(config["layer_types"]), int(config["hidden_size"])
    shared_from = len(kinds) - int(config.get("num_kv_shared_layers") or 0)
    geometry, per_layer = kv_geometry(config), int(config.get("hidden_size_per_layer_input") or 0)
    mixture = bool(config.get("enable_moe_block"))
    found: Counter[LayerShape] = Counter()
    for index, kind in enumerate(kinds):
        dim, kv_heads = geometry[kind]
        query, keys = int(config["num_attention_heads"]) * dim, kv_heads * dim
        shared = index >= shared_from
        own = 0 if shared else keys if kind == FULL and config.get("attention_k_eq_v") else 2 * keys
        inner = int(config["intermediate_size"]) * (2 if shared and config.get("use_double_wide_mlp") else 1)
        weights = hidden * (2 * query + own + 3 * inner + 2 * per_layer)
        experts = {}
        if mixture:
            count, expert = int(config["num_experts"]), 3 * hidden * int(config["moe_intermediate_size"])
            experts = {"experts": count, "chosen": int(config["top_k_experts"]), "expert": expert}
            weights += hidden * count  # the router
        window = None if kind == FULL else int(config["sliding_window"])
        found[LayerShape(1, weights, 2 * keys, query, window, not shared, **experts)] += 1
    return tuple(
        LayerShape(count, *(getattr(one, name) for name in LayerShape.__slots__[1:])) for one, count in found.items()
    )


def target_shape(raw: dict[str, Any]) -> PassShape:
    """A target's pass, from its config.json or the text part of it."""
    config = text_config(raw)
    hidden, vocabulary = int(config["hidden_size"]), int(config["vocab_size"])
    per_layer = int(config.get("hidden_size_per_layer_input") or 0) * len(config["layer_types"])
    return PassShape(
        layers=layer_shapes(config),
        weights=hidden * per_layer,  # projects the embedding to every layer's own input
        embedded=hidden + per_layer,
        head=hidden * vocabulary,
    )


def assistant_shape(raw: dict[str, Any], target: dict[str, Any]) -> DraftShape:
    """An MTP assistant's round: a pass for each draft, over the target's keys and values."""
    config, backbone = text_config(raw), int(raw["backbone_hidden_size"])
    hidden, vocabulary = int(config["hidden_size"]), int(config["vocab_size"])
    head, gathered = hidden * vocabulary, 0
    if raw.get("use_ordered_embeddings"):
        centroids, best = int(raw["num_centroids"]), int(raw["centroid_intermediate_top_k"])
        head, gathered = hidden * centroids, hidden * best * (vocabulary // centroids)
    step = PassShape(
        layers=layer_shapes(config),
        weights=3 * backbone * hidden,  # into the assistant from two states of the target's width, and back to one
        embedded=backbone,
        head=head,
        gathered=gathered,
    )
    return DraftShape(each=step)
