"""Gemma 4 targets and their assistants as GGUF content: architectures `gemma4` and `gemma4-assistant`.

llama.cpp keeps head widths of full layers in the plain keys and those of sliding ones in the keys with `_swa`. Full
layers turn a share of each head only ("proportional"): the rest gets frequency divisors so large that it stands still.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from drafters.checkpoints.files import Stored, read_model_config, refuse, stored_tensors
from drafters.checkpoints.mtp import empty_assistant, problems_of
from drafters.errors import InputError
from drafters.geometry import kv_geometry
from drafters.layouts.base import Layout
from harness.engines.gguf.content import Content, Piece, stored_piece
from harness.engines.gguf.names import ASSISTANT, GEMMA_LAYER, PLAIN, TARGET, TARGET_LAYER, gguf_name
from harness.target.files import (
    check_target,
    empty_target,
    is_quantized,
    stored_text,
    target_problems,
    text_config_of,
    text_name,
)

GEMMA4, GEMMA4_ASSISTANT = "gemma4", "gemma4-assistant"
FULL, SLIDING = "full_attention", "sliding_attention"
ACTIVATION = "gelu_pytorch_tanh"
STILL = 1e30  # a divisor of rotary frequencies that leaves a pair unturned


def target_content(folder: Path, key: str) -> Content:
    """The content of a target's file. Raises InputError for a folder that is no whole Gemma 4 target, or one whose
    layers llama.cpp does not know."""
    raw = read_model_config(folder, key)
    check_target(raw, key)
    config = text_config_of(raw, key)
    check_unpacked(config, folder, key)
    tensors = stored_text(folder, key)
    model: Any = empty_target(config, str(raw["model_type"]), key)
    refuse(target_problems(model, tensors), f"{key}: {folder}")
    shared = int(getattr(config, "num_kv_shared_layers", 0) or 0)
    content = Content(GEMMA4, layer_values(config, shared, key))
    content.values["feed_forward_length"] = _widths(tensors, config.num_hidden_layers, "model.")
    if config.final_logit_softcapping:
        content.values["final_logit_softcapping"] = float(config.final_logit_softcapping)
    content.values["embedding_length_per_layer_input"] = int(getattr(config, "hidden_size_per_layer_input", 0) or 0)
    if getattr(config, "enable_moe_block", False):
        content.values |= {
            "expert_count": int(config.num_experts),
            "expert_used_count": int(config.top_k_experts),
            "expert_feed_forward_length": int(config.moe_intermediate_size),
        }
    originals = {text_name(name): name for name in stored_tensors(folder, key)}
    unread = {f"model.layers.{i}.self_attn.{p}." for i in range(config.num_hidden_layers - shared,
              config.num_hidden_layers) for p in ("k_proj", "v_proj", "k_norm", "v_norm")}  # fmt: skip
    for name, about in tensors.items():
        if name.startswith(tuple(unread)) or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        ours = gguf_name(name, TARGET, TARGET_LAYER)
        if ours is None:
            raise InputError(f"{key}: {folder} stores {name}, which llama.cpp's {GEMMA4} has no place for")
        original = originals[name]
        assert original is not None
        content.pieces.append(stored_piece(ours, folder, original, about, plain=ours.endswith(PLAIN)))
    content.pieces += turning(config)
    return content


def assistant_content(folder: Path, raw: dict[str, Any], layout: Layout, key: str) -> Content:
    """The content of an MTP assistant's file. Raises InputError as `target_content` does."""
    config = layout.parse(raw, key)
    tensors = stored_tensors(folder, key)
    refuse(problems_of(empty_assistant(config, layout.build), tensors), f"{key}: {folder}")
    check_assistant(config, key)
    text = config.text_config
    content = Content(GEMMA4_ASSISTANT, layer_values(text, text.num_hidden_layers, key))
    content.values |= {
        "feed_forward_length": _widths(tensors, text.num_hidden_layers, "model."),
        "embedding_length_out": int(config.backbone_hidden_size),
        "embedding_length_per_layer_input": 0,
        "nextn_predict_layers": int(text.num_hidden_layers),
    }
    for name, about in tensors.items():
        if name == "lm_head.weight":
            continue
        if name.startswith("masked_embedding."):
            continue
        ours = gguf_name(name, ASSISTANT, GEMMA_LAYER)
        if ours is None:
            raise InputError(f"{key}: {folder} stores {name}, which llama.cpp's {GEMMA4_ASSISTANT} has no place for")
        content.pieces.append(stored_piece(ours, folder, name, about))
    content.pieces += turning(text)
    if config.use_ordered_embeddings:
        content.notes.append(
            f"the ordered head ({config.num_centroids} centroids) is left out: llama.cpp scores every token, so it "
            "may draft tokens that the harness cannot"
        )
    return content


def check_unpacked(config: Any, folder: Path, key: str) -> None:
    """Raise InputError for a target whose weights are quantized."""
    if is_quantized(config):
        raise InputError(f"{key}: {folder} holds quantized weights, expected f32, f16 or bf16 ones to export from")


def check_assistant(config: Any, key: str) -> None:
    """Raise InputError for an assistant that llama.cpp would take for another network."""
    if config.backbone_hidden_size == config.text_config.hidden_size:
        raise InputError(
            f"{key}: backbone_hidden_size is {config.backbone_hidden_size}, the assistant's own hidden_size; "
            f"llama.cpp's {GEMMA4_ASSISTANT} needs two that differ"
        )


def layer_values(config: Any, shared: int, key: str) -> dict[str, Any]:
    """The values that describe a Gemma 4 text config's layers; the last `shared` layers have no keys of their own."""
    if config.hidden_activation != ACTIVATION:
        raise InputError(f"{key}: hidden_activation is {config.hidden_activation!r}, expected {ACTIVATION!r}")
    if getattr(config, "use_bidirectional_attention", None) == "all":
        raise InputError(f"{key}: use_bidirectional_attention is 'all', which llama.cpp's {GEMMA4} does not know")
    kinds = list(config.layer_types)
    shapes = kv_geometry(config.to_dict())
    full, sliding = shapes.get(FULL) or shapes[SLIDING], shapes.get(SLIDING) or shapes[FULL]
    heads = [(full if kind == FULL else sliding)[1] for kind in kinds]
    ropes = {kind: dict(rope) for kind, rope in config.rope_parameters.items() if isinstance(rope, Mapping)}
    _check_rope(ropes, key)
    return {
        "block_count": len(kinds),
        "context_length": int(config.max_position_embeddings),
        "embedding_length": int(config.hidden_size),
        "vocab_size": int(config.vocab_size),
        "attention.head_count": int(config.num_attention_heads),
        "attention.head_count_kv": heads if len(set(heads)) > 1 else heads[0],
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": full[0],
        "attention.value_length": full[0],
        "attention.key_length_swa": sliding[0],
        "attention.value_length_swa": sliding[0],
        "attention.sliding_window": int(config.sliding_window),
        "attention.sliding_window_pattern": [kind == SLIDING for kind in kinds],
        "attention.shared_kv_layers": shared,
        "rope.freq_base": float(ropes[FULL]["rope_theta"]) if FULL in ropes else 1_000_000.0,
        "rope.freq_base_swa": float(ropes[SLIDING]["rope_theta"]) if SLIDING in ropes else 10_000.0,
        "rope.dimension_count": full[0],
        "rope.dimension_count_swa": sliding[0],
    }


def turning(config: Any) -> list[Piece]:
    """The divisors [head_dim / 2] of the full layers' rotary frequencies; none where no layer is full."""
    if FULL not in config.layer_types:
        return []
    width = kv_geometry(config.to_dict())[FULL][0]
    rope = config.rope_parameters[FULL]
    share = rope.get("partial_rotary_factor", 1.0) if rope["rope_type"] == "proportional" else 1.0
    return [turning_piece(width, share)]


def turning_piece(width: int, share: float) -> Piece:
    """`rope_freqs` [width / 2] of heads that turn `share` of their pairs, the first ones."""
    pairs = int(share * width // 2)
    divisors = torch.tensor([1.0] * pairs + [STILL] * (width // 2 - pairs), dtype=torch.float32)
    return Piece("rope_freqs.weight", tuple(divisors.shape), made=divisors, plain=True)


def _check_rope(ropes: Mapping[str, Mapping[str, Any]], key: str) -> None:
    """Raise InputError for a rotary embedding other than Gemma 4's."""
    known = {FULL: ("proportional", "default"), SLIDING: ("default",)}
    for kind, rope in ropes.items():
        if (found := rope.get("rope_type", "default")) not in known.get(kind, ()):
            raise InputError(f"{key}: rope_type of {kind} is {found!r}, expected {' or '.join(known.get(kind, ()))}")


def _widths(tensors: Mapping[str, Stored], layers: int, prefix: str) -> int | list[int]:
    """The width of each layer's MLP, one number where all are equal."""
    widths = [tensors[f"{prefix}layers.{index}.mlp.gate_proj.weight"].shape[0] for index in range(layers)]
    return widths if len(set(widths)) > 1 else widths[0]
