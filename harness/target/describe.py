"""Describes a checkpoint from its config.json, one fact a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from drafters.checkpoints.files import Stored, stored_bytes
from drafters.dflash.config import DFlashConfig
from drafters.geometry import kv_geometry, text_config
from drafters.layouts.base import Layout

Facts = list[tuple[str, str]]

#: Width and depth of the published targets.
FAMILY = {
    (1536, 35): "Gemma 4 E2B",
    (2560, 42): "Gemma 4 E4B",
    (3840, 48): "Gemma 4 12B",
    (2816, 30): "Gemma 4 26B-A4B",
    (5376, 60): "Gemma 4 31B",
}


def scaled(count: int, units: Sequence[str]) -> str:
    """`count` in the unit that leaves one to three digits before the point, in steps of a thousand: `122 thousand`."""
    step = min(len(units) - 1, max(0, (len(str(count)) - 1) // 3))
    return f"{count / 1000**step:,.4g}{units[step]}"


def size_facts(tensors: Mapping[str, Stored]) -> Facts:
    numbers = sum(math.prod(tensor.shape) for tensor in tensors.values())
    kinds = ", ".join(sorted({tensor.dtype for tensor in tensors.values()}))
    return [
        ("tensors", str(len(tensors))),
        ("parameters", scaled(numbers, ("", " thousand", " million", " billion"))),
        ("stored", f"{scaled(stored_bytes(tensors), (' B', ' kB', ' MB', ' GB'))} as {kinds}"),
    ]


def target_facts(raw: dict[str, Any]) -> Facts:
    config = text_config(raw)
    kinds = list(config.get("layer_types") or [])
    size = (int(config.get("hidden_size") or 0), int(config.get("num_hidden_layers") or 0))
    facts: Facts = [
        ("is", f"a target: {FAMILY.get(size, 'a Gemma 4 of no published size')} ({raw['model_type']})"),
        ("layers", f"{size[1]}: {kinds.count('sliding_attention')} sliding, {kinds.count('full_attention')} full"),
        ("width", f"{size[0]}, vocabulary {config.get('vocab_size')}"),
        ("window", f"{config.get('sliding_window')} of {config.get('max_position_embeddings')} positions"),
    ]
    facts += [(f"{kind} keys", f"{heads} heads of {dim}") for kind, (dim, heads) in kv_geometry(config).items()]
    if config.get("num_kv_shared_layers"):
        facts.append(("shared keys", f"the last {config['num_kv_shared_layers']} layers read those of earlier ones"))
    if config.get("enable_moe_block"):
        facts.append(("experts", f"{config.get('num_experts')}, {config.get('top_k_experts')} at a time"))
    if "text_config" in raw:
        facts.append(("loaded", "the text part alone"))
    facts.append(("fits", f"assistants with backbone_hidden_size {size[0]}, block drafters with hidden_size {size[0]}"))
    return facts


def mtp_facts(layout: Layout, raw: dict[str, Any]) -> Facts:
    layers = text_config(raw)
    head = "every token"
    if raw.get("use_ordered_embeddings"):
        best, of = raw.get("centroid_intermediate_top_k"), raw.get("num_centroids")
        head = f"the tokens of the best {best} of {of} centroids"
    facts: Facts = [
        ("is", f"a drafter for mtp: {layout.name} ({raw['model_type']})"),
        ("fits", f"targets of width {raw.get('backbone_hidden_size')}"),
        ("layers", f"{layers.get('num_hidden_layers')}, width {layers.get('hidden_size')}, no keys of their own"),
    ]
    facts += [(f"reads {kind}", f"{heads} heads of {dim}") for kind, (dim, heads) in kv_geometry(layers).items()]
    facts += [
        ("k", "any; one pass per token"),
        ("position", "the anchor's for every pass (drafters.mtp.position=anchor-1 for vLLM's)"),
        ("scores", head),
    ]
    return facts


def block_facts(config: DFlashConfig) -> Facts:
    """A block drafter's conventions: each is a property of how it was trained, not of its tensors."""
    start = "the anchor" if config.anchored_window else "each slot"
    has_window = "sliding_attention" in config.layer_types
    return [
        ("is", f"a drafter for dflash: {config.layout}"),
        ("fits", f"targets of width {config.hidden_size}" + _depth(config)),
        ("layers", f"{config.num_hidden_layers}, {config.num_attention_heads} heads over {config.num_key_value_heads}"),
        ("taps", f"outputs of target layers {', '.join(map(str, config.target_layer_ids))}"),
        ("k", f"1 to {config.max_draft_tokens} from one pass of a block of {config.block_size}"),
        ("slot i", f"drafts the token {'after' if config.predicts_next else 'at'} its position"),
        ("block input", _embedding(config)),
        ("head", _head(config)),
        ("soft-cap", str(config.final_logit_softcapping or "none")),
        ("in a block", _causality(config)),
        ("window", f"{config.sliding_window} back from {start}" if has_window else "none"),
        ("tokens", _choice(config)),
        *(("note", f"config.json {note}") for note in config.notes),
    ]


def _depth(config: DFlashConfig) -> str:
    return "" if config.num_target_layers is None else f" and {config.num_target_layers} layers"


def _embedding(config: DFlashConfig) -> str:
    owner, scale = "its own" if config.own_embedding else "the target's", config.input_embedding_scale
    if scale is None:
        return f"{owner} embedding times {config.hidden_size**0.5:g} (sqrt of the width; the file is silent)"
    return f"{owner} embedding times {scale:g}"


def _head(config: DFlashConfig) -> str:
    owner = "its own" if config.own_head else "the target's"
    part = f", {config.draft_vocab_size} of {config.vocab_size} tokens" if config.draft_vocab_size is not None else ""
    times = f", times {config.output_multiplier:g}" if config.output_multiplier != 1.0 else ""
    return owner + part + times


def _causality(config: DFlashConfig) -> str:
    seen = {config.causal(layer) for layer in range(config.num_hidden_layers)}
    if seen == {True}:
        return "slots see the slots before them"
    if seen == {False}:
        return "slots see each other"
    return "slots see the slots before them on sliding layers, each other on full ones"


def _choice(config: DFlashConfig) -> str:
    if config.selector_rank:
        return f"along the best path through the {config.selector_top_k} best of each slot"
    if config.markov_rank:
        return "one after the other, each corrected by the one before"
    return "independently of each other"
