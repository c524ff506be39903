"""speculators' DFlash, DFlash 2 and DSpark: the network of z-lab's layout under a config of their own.

They differ in what decides acceptance: noise embeddings are the target's raw rows, logits have no soft-cap, a sliding
layer's window reaches back from the anchor for every slot, the head may know a part of the vocabulary only (d2t gives
target token minus draft token), and `aux_hidden_state_layer_ids` counts the embedding as 0, so that id i is the output
of layer i - 1.
"""

from __future__ import annotations

from typing import Any

from transformers import Qwen3Config

from drafters.dflash_config import DFlashConfig
from drafters.dflash_model import DFlashModel
from drafters.layouts.base import Keys, Layout, located
from drafters.layouts.zlab import qwen3_layers

KINDS = {"dflash": "speculators DFlash", "dflash2": "speculators DFlash 2", "dspark": "speculators DSpark"}


def _layer_entries(raw: dict[str, Any], key: str) -> dict[str, Any]:
    """`transformer_layer_config` in full: files hold only what differs from Qwen3Config's defaults."""
    nested = raw.get("transformer_layer_config")
    if not isinstance(nested, dict):
        raise Keys(key, "", raw).error("config.json has no transformer_layer_config, which a speculators drafter needs")
    kind = nested.get("model_type", "qwen3")
    if kind != "qwen3":
        raise Keys(key, "", raw).error(f"transformer_layer_config.model_type is {kind!r}, expected 'qwen3'")
    overrides = {name: raw[name] for name in ("layer_types", "sliding_window", "use_sliding_window") if name in raw}
    filled = Qwen3Config(**{**nested, **overrides})
    return {**filled.to_dict(), "rope_parameters": filled.rope_parameters}


def _taps(keys: Keys) -> tuple[int, ...]:
    taps = tuple(index - 1 for index in keys.wholes("aux_hidden_state_layer_ids"))
    if taps and min(taps) < 0:
        raise keys.error("aux_hidden_state_layer_ids holds 0, the embedding; only layers' outputs can be tapped")
    return taps


def _promised(raw: dict[str, Any]) -> int | None:
    """The proposal length that the file names."""
    methods = (raw.get("speculators_config") or {}).get("proposal_methods") or [{}]
    return methods[0].get("speculative_tokens")


def _drafts_from_anchor(raw: dict[str, Any], keys: Keys) -> bool:
    """Whether the anchor's slot drafts; older files say so only by promising as many tokens as the block has slots."""
    return bool(keys.get("sample_from_anchor", _promised(raw) == raw.get("block_size")))


def parse(raw: dict[str, Any], key: str) -> DFlashConfig:
    kind = raw["speculators_model_type"]
    keys = Keys(key, f"a {KINDS[kind]} drafter", raw)
    layers = Keys(key, f"a {KINDS[kind]} drafter", _layer_entries(raw, key))
    if keys.get("projector_type", "dflash") != "dflash":
        raise keys.error(f"projector_type is {raw['projector_type']!r}, expected 'dflash'")
    values = qwen3_layers(layers)
    draft_vocab = keys.get("draft_vocab_size", values["vocab_size"])
    bidirectional = keys.get("sliding_window_non_causal", kind == "dflash2")
    values |= {
        "block_size": keys.need("block_size"),
        "mask_token_id": keys.whole("mask_token_id"),
        "target_layer_ids": _taps(keys),
        "input_embedding_scale": 1.0,
        "is_causal": False if bidirectional else None,
        "layout": KINDS[kind],
        "predicts_next": _drafts_from_anchor(raw, keys),
        "anchored_window": True,
        "draft_vocab_size": draft_vocab if draft_vocab != values["vocab_size"] else None,
        "own_embedding": True,
        "own_head": True,
    }
    if kind == "dflash2":
        defaults = {"conv_kernel_size": 2, "conv_group_size": 16, "selector_rank": 256, "selector_top_k": 16}
        values |= {name: keys.get(name, default) for name, default in defaults.items()}
    if kind == "dspark":
        values |= dspark_heads(keys)
    config: DFlashConfig = located(key, lambda: DFlashConfig(**values))
    promised = _promised(raw)
    if promised is not None and promised > config.max_draft_tokens:
        raise keys.error(
            f"block_size is {config.block_size}, which drafts {config.max_draft_tokens} tokens, but "
            f"speculators_config.proposal_methods promises {promised}"
        )
    return config


def dspark_heads(keys: Keys) -> dict[str, Any]:
    """The entries of DSpark's heads. Raises InputError for the Markov heads that carry a gate or a state."""
    rank = keys.get("markov_rank", 0)
    kind = keys.get("markov_head_type", "vanilla")
    if rank and kind != "vanilla":
        raise keys.error(f"markov_head_type is {kind!r}, expected 'vanilla'")
    return {
        "markov_rank": rank,
        "confidence_head": bool(keys.get("enable_confidence_head", False)),
        "confidence_with_markov": bool(
            keys.get("enable_confidence_head", False) and keys.get("confidence_head_with_markov", False)
        ),
    }


SPECULATORS = Layout(
    name="speculators DFlash, DFlash 2 or DSpark",
    kind="dflash",
    marker='speculators_model_type "dflash", "dflash2" or "dspark"',
    matches=lambda raw: raw.get("speculators_model_type") in KINDS,
    parse=parse,
    build=DFlashModel,
    # Files leave out what is the target's own; older ones carry copies. A reduced head is never left out.
    optional=frozenset({"embed_tokens.weight", "lm_head.weight"}),
    ignored=("verifier_norm.", "verifier_lm_head."),
)
