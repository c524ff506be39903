"""A walk through a Gemma 4 text model's own layers, for targets and assistants alike.

The modules are transformers' and unchanged; walking them here gives the outputs of tapped layers as they are (never the
post-norm last entry of `hidden_states`), masks built from positions, and no per-call bookkeeping.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import cache_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextDecoderLayer

from drafters.kernels.attention import transformers_attention
from drafters.kernels.pieces import run_piece

ATTENTION = "position_addressed"
ALL_ATTENTION_FUNCTIONS.register(ATTENTION, transformers_attention)

#: The argument that gives a layer its cache: transformers 5.24 renamed it.
CACHE = "cache" if "cache" in inspect.signature(Gemma4TextDecoderLayer.forward).parameters else "past_key_values"
#: Holds the keys and values that layers share. accelerate moves the content of a KVSharingDict (from 5.24 on) between
#: devices. It copies a plain dict, unless the model excludes it (before 5.24), so that stored entries would be lost.
SharedStates: type[MutableMapping[str, tuple[Tensor, Tensor]]] = getattr(cache_utils, "KVSharingDict", dict)


@contextmanager
def position_addressed_attention(config: Any) -> Iterator[None]:
    """Let the model of `config` use grouped attention meanwhile, and give it back as it was."""
    before = config._attn_implementation_internal
    if before == ATTENTION:
        yield
        return
    config._attn_implementation_internal = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation_internal = before


def text_model_of(model: Any) -> Any:
    """The text decoder of a Gemma 4 model, whether it is text-only or multimodal."""
    inner = model.model
    return getattr(inner, "language_model", inner)


def run_layers(
    text_model: Any,
    hidden: Tensor,
    positions: Tensor,
    masks: dict[str, Tensor],
    *,
    cache: Any = None,
    shared_kv: MutableMapping[str, tuple[Tensor, Tensor]] | None = None,
    per_layer: Tensor | None = None,
    taps: tuple[int, ...] = (),
    devices: Sequence[torch.device] | None = None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """Run embeddings `hidden` [B, W, H] at `positions` [B, W] through all layers and the final norm.

    `masks` holds one additive mask [B, 1, W, S] per layer type, `shared_kv` the keys and values that KV-shared layers
    read (filled by the layers that own them), `per_layer` the per-layer embeddings [B, W, layers, P]. `devices` has a
    device per layer where they differ; what a layer reads moves when the device changes, and not for every layer.
    Returns the normed hidden states [B, W, H] and the raw outputs of the tapped layers, wherever they came out.
    """
    kinds = text_model.config.layer_types
    rope = {kind: run_piece(text_model.rotary_emb, hidden, positions, kind) for kind in dict.fromkeys(kinds)}
    shared = SharedStates() if shared_kv is None else shared_kv
    tapped: dict[int, Tensor] = {}
    for index, (layer, kind) in enumerate(zip(text_model.layers, kinds, strict=False)):
        if devices is not None and (index == 0 or devices[index] != devices[index - 1]):
            here = devices[index]
            hidden, positions = hidden.to(here), positions.to(here)
            masks = {name: mask.to(here) for name, mask in masks.items()}
            rope = {name: (cos.to(here), sin.to(here)) for name, (cos, sin) in rope.items()}
            per_layer = None if per_layer is None else per_layer.to(here)
            cache.positions = positions
        # Layers of the unified models know no per-layer input at all.
        extra: dict[str, Any] = {} if per_layer is None else {"per_layer_input": per_layer[:, :, index]}
        extra[CACHE] = None if cache is None else cache.at(index)
        hidden = run_piece(
            layer,
            hidden,
            **extra,
            shared_kv_states=shared,
            position_embeddings=rope[kind],
            attention_mask=masks[kind],
            position_ids=positions,
        )
        if index in taps:
            tapped[index] = hidden
    return text_model.norm(hidden), tapped
