"""DFlash, DFlash 2 and DSpark drafters as GGUF content: architecture `dflash`.

llama.cpp takes embedding and head from the target unless the file has its own, counts taps by the layer that reads
them (an output of layer i is the input of layer i + 1), and knows one causality for a whole block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.checkpoints.dflash import empty_model, problems_of, renamed, settled, vocabulary_problems
from drafters.checkpoints.files import read_model_config, read_tensors, refuse, stored_tensors
from drafters.dflash.config import DFlashConfig
from drafters.errors import InputError
from drafters.layouts.base import Layout
from harness.engines.gguf.content import Content, Piece, stored_piece
from harness.engines.gguf.gemma import ACTIVATION, SLIDING, turning_piece
from harness.engines.gguf.names import BLOCK, BLOCK_LAYER, GEMMA_LAYER, HEAD, PLAIN, gguf_name
from harness.target.files import stored_text, text_name

DFLASH = "dflash"
GEMMA_LAYOUTS = ("DeepSpec DFlash", "DeepSpec DSpark")


def block_content(folder: Path, raw: dict[str, Any], layout: Layout, target: Path, key: str) -> Content:
    """The content of a block drafter's file. `target` lends its head where only the embedding is the drafter's own.

    Raises InputError for a folder that is no whole block drafter, or for a network that llama.cpp does not know.
    """

    def ours(name: str) -> str | None:
        return renamed(layout, name)

    tensors = stored_tensors(folder, key, ours)
    config = settled(layout, layout.parse(raw, key), tensors)
    refuse(problems_of(empty_model(layout, config), tensors), f"{key}: {folder}")
    check_known(config, key)
    gemma = config.layout in GEMMA_LAYOUTS
    content = Content(DFLASH, _values(config), notes=_notes(config))
    if gemma:
        content.values |= {"attention.scale": 1.0, "hidden_activation": ACTIVATION}
        content.pieces.append(turning_piece(config.head_dim, config.partial_rotary_factor))
    originals = {ours(name): name for name in stored_tensors(folder, key)}
    confident = config.confidence_head and config.confidence_with_markov
    for name, about in tensors.items():
        if name in ("d2t", "t2d") or (name.startswith("confidence_head.") and not confident):
            continue
        found = gguf_name(name, BLOCK, GEMMA_LAYER if gemma else BLOCK_LAYER)
        if found is None:
            raise InputError(f"{key}: {folder} stores {name}, which llama.cpp's {DFLASH} has no place for")
        original = originals[name]
        assert original is not None
        content.pieces.append(stored_piece(found, folder, original, about, plain=found.endswith(PLAIN)))
    if config.draft_vocab_size is not None:
        content.pieces.append(_vocabulary(folder, key))
    if config.own_embedding and not config.own_head:
        content.pieces.append(_borrowed_head(target, key))
    return content


def check_known(config: DFlashConfig, key: str) -> None:
    """Raise InputError for a network that llama.cpp would compute otherwise."""
    if config.attention_bias:
        raise InputError(f"{key}: attention_bias is true, which llama.cpp's {DFLASH} has no place for")
    if config.layout in GEMMA_LAYOUTS and not config.keys_are_values:
        raise InputError(
            f"{key}: attention_k_eq_v is false, expected true: llama.cpp norms a Gemma block drafter's values only "
            "where they are its keys"
        )
    if config.markov_rank and config.final_logit_softcapping:
        raise InputError(
            f"{key}: final_logit_softcapping is {config.final_logit_softcapping:g}, expected none: llama.cpp adds a "
            "Markov head's bias to logits without a soft-cap"
        )
    lattice = config.selector_top_k * (config.selector_top_k + 1)
    if config.selector_rank and config.hidden_size < lattice:
        raise InputError(
            f"{key}: hidden_size is {config.hidden_size}, expected at least {lattice} for "
            f"selector_top_k={config.selector_top_k}: llama.cpp keeps the paths in the space of a hidden state"
        )


def _values(config: DFlashConfig) -> dict[str, Any]:
    scale = config.input_embedding_scale
    values: dict[str, Any] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "vocab_size": config.vocab_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
        "rope.dimension_count": config.head_dim,
        "block_size": config.block_size,
        "target_layers": [tap + 1 for tap in config.target_layer_ids],
        "embedding_scale": float(config.hidden_size**0.5 if scale is None else scale),
        "attention.causal": _causal(config),
    }
    if config.output_multiplier != 1.0:
        values["logit_scale"] = config.output_multiplier
    if config.final_logit_softcapping:
        values["final_logit_softcapping"] = config.final_logit_softcapping
    if SLIDING in config.layer_types:
        values["attention.sliding_window"] = int(config.sliding_window or 0)
        values["attention.sliding_window_pattern"] = [kind == SLIDING for kind in config.layer_types]
    if config.conv_kernel_size:
        names = ("conv_kernel_size", "conv_group_size", "selector_rank", "selector_top_k")
        values |= {name: getattr(config, name) for name in names}
    if config.markov_rank or config.predicts_next:
        values["sample_from_anchor"] = config.predicts_next
        values["has_confidence_head"] = config.confidence_head and config.confidence_with_markov
    return values


def _causal(config: DFlashConfig) -> bool:
    """True if every layer's slots see only the slots before them."""
    return all(config.causal(layer) for layer in range(config.num_hidden_layers))


def _notes(config: DFlashConfig) -> list[str]:
    notes = list(config.notes)
    if len({config.causal(layer) for layer in range(config.num_hidden_layers)}) > 1:
        notes.append(
            "slots of a sliding layer see only the slots before them, those of a full layer all; llama.cpp knows one "
            "kind for all layers, so that each slot sees all there"
        )
    if SLIDING in config.layer_types and config.anchored_window:
        notes.append("windows reach back from the anchor; llama.cpp's reach back from each slot")
    return notes


def _vocabulary(folder: Path, key: str) -> Piece:
    """The target's token of every draft token [Vd]; checkpoints store the differences."""
    maps = read_tensors(
        folder, key, lambda name: name.removeprefix("model.") if name.endswith(("d2t", "t2d")) else None
    )
    refuse(vocabulary_problems(maps), f"{key}: {folder}")
    ids = maps["d2t"].long() + torch.arange(len(maps["d2t"]))
    return Piece("d2t", tuple(ids.shape), made=ids, plain=True)


def _borrowed_head(target: Path, key: str) -> Piece:
    """The target's head: a file with an embedding and no head would use the embedding for both."""
    read_model_config(target, key)
    tensors = stored_text(target, key)
    name = "lm_head.weight" if "lm_head.weight" in tensors else "model.embed_tokens.weight"
    originals = {text_name(stored): stored for stored in stored_tensors(target, key)}
    original = originals[name]
    assert original is not None
    return stored_piece(HEAD, target, original, tensors[name])
