"""speculators' DFlash, DFlash 2 and DSpark: the network of z-lab's layout under a config of their own.

They differ in what decides acceptance: noise embeddings are the target's raw rows, logits have no soft-cap, a sliding
layer's window reaches back from the anchor for every slot, the head may know a part of the vocabulary only (d2t gives
target token minus draft token), and `aux_hidden_state_layer_ids` counts the embedding as 0, so that id i is the output
of layer i - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformers import LlamaConfig, Qwen3Config

from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import DFlashModel
from drafters.errors import InputError
from drafters.layouts.base import Keys, Layout, located, section
from drafters.layouts.harmless import DOMINO, EXPERTS
from drafters.layouts.others import check_projector, refuse_quantized
from drafters.layouts.zlab import causality, qwen3_layers

#: Entries that may stand beside transformer_layer_config and then count more than those in it.
LAYER_ENTRIES = ("layer_types", "sliding_window", "use_sliding_window")
KINDS = {"dflash": "speculators DFlash", "dflash2": "speculators DFlash 2", "dspark": "speculators DSpark"}


#: Values of `transformer_layer_config.model_type`: the layers are Qwen3's, and only the defaults of entries differ.
BASES: dict[str, Callable[..., Any]] = {"qwen3": Qwen3Config, "llama": LlamaConfig}


def _layer_entries(raw: dict[str, Any], key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`transformer_layer_config` as written and in full: files hold only what differs from its class's defaults."""
    nested = section(raw, "transformer_layer_config", key)
    if not nested:
        raise InputError(f"{key}: config.json has no transformer_layer_config, which a speculators drafter needs")
    kind = nested.get("model_type", "qwen3")
    if kind not in BASES:
        raise InputError(
            f"{key}: transformer_layer_config.model_type is {kind!r}, expected {' or '.join(map(repr, BASES))}"
        )
    overrides = {name: raw[name] for name in LAYER_ENTRIES if name in raw}
    try:
        filled = BASES[kind](**{**nested, **overrides})
        entries = {**filled.to_dict(), "rope_parameters": filled.rope_parameters}
    except Exception as error:  # transformers raises what its validators raise
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{key}: transformers refuses transformer_layer_config: {reason}") from error
    return nested, entries


def _taps(keys: Keys) -> tuple[int, ...]:
    taps = tuple(index - 1 for index in keys.wholes("aux_hidden_state_layer_ids"))
    if taps and min(taps) < 0:
        raise keys.error("aux_hidden_state_layer_ids holds 0, the embedding; only layers' outputs can be tapped")
    return taps


def _promised(raw: dict[str, Any], key: str) -> int | None:
    """The proposal length that the file names."""
    methods = section(raw, "speculators_config", key).get("proposal_methods") or [{}]
    if not isinstance(methods, list) or not isinstance(methods[0], dict):
        raise InputError(f"{key}: speculators_config.proposal_methods is {methods!r}, expected a list of objects")
    return Keys(key, "speculators_config.proposal_methods", methods[0]).maybe("speculative_tokens", least=1)


def _drafts_from_anchor(kind: str, keys: Keys, promised: int | None) -> bool:
    """True if the anchor's slot drafts. Older DSpark files say so only by promising a token per slot.

    DFlash and DFlash 2 files from before that entry promised a token per slot by mistake: their anchor repeats itself.
    """
    said = keys.flag("sample_from_anchor")
    if said is not None or kind != "dspark":
        return bool(said)
    if promised is None:
        raise keys.error(
            "config.json has neither sample_from_anchor nor speculators_config.proposal_methods[0].speculative_tokens, "
            f"which say whether {keys.what} drafts from the anchor's slot"
        )
    return promised == keys.get("block_size")


def _check_promise(keys: Keys, kind: str, config: DFlashConfig, promised: int | None) -> DFlashConfig:
    """`config`, with a note where a file promises the anchor's slot, too. Raises InputError for any other excess."""
    most = config.max_draft_tokens
    if promised is None or promised <= most:
        return config
    if kind != "dspark" and promised == config.block_size:
        note = (
            f"promises {promised} tokens, one too many: the anchor's slot drafts none, so {most} is the most "
            "(sample_from_anchor says otherwise where it does)"
        )
        return replace(config, notes=(*config.notes, note))
    raise keys.error(
        f"block_size is {config.block_size}, which drafts {most} tokens, but "
        f"speculators_config.proposal_methods promises {promised}"
    )


def parse(raw: dict[str, Any], key: str) -> DFlashConfig:
    refuse_quantized(raw, key)
    kind = raw["speculators_model_type"]
    keys = Keys(key, f"a {KINDS[kind]} drafter", raw)
    keys.knows("speculators_model_type", "speculators_config", "transformer_layer_config", *LAYER_ENTRIES, *DOMINO)
    nested, entries = _layer_entries(raw, key)
    layers = Keys(key, f"the transformer_layer_config of {keys.what}", entries)
    check_projector(keys, "dflash")
    values = qwen3_layers(layers)
    layers.close(nested)
    promised, draft_vocab = _promised(raw, key), keys.whole("draft_vocab_size", values["vocab_size"], least=1)
    if draft_vocab > values["vocab_size"]:
        raise keys.error(f"draft_vocab_size is {draft_vocab}, expected at most vocab_size={values['vocab_size']}")
    if keys.get("target_hidden_size", values["hidden_size"]) != values["hidden_size"]:
        raise keys.error(f"target_hidden_size is {raw['target_hidden_size']!r}, expected {values['hidden_size']}")
    causal, bidirectional = causality(keys), keys.flag("sliding_window_non_causal", kind == "dflash2")
    values |= {
        "block_size": keys.need("block_size"),
        "mask_token_id": keys.whole("mask_token_id"),
        "target_layer_ids": _taps(keys),
        "input_embedding_scale": keys.number("input_embedding_scale", 1.0),
        "output_multiplier": keys.number("output_multiplier", 1.0),
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "is_causal": causal if causal is not None else (False if bidirectional else values["is_causal"]),
        "layout": KINDS[kind],
        "predicts_next": _drafts_from_anchor(kind, keys, promised),
        "anchored_window": True,
        "draft_vocab_size": draft_vocab if draft_vocab != values["vocab_size"] else None,
        "own_embedding": True,
        "own_head": True,
    }
    if kind == "dflash2":
        defaults = {"conv_kernel_size": 2, "conv_group_size": 16, "selector_rank": 256, "selector_top_k": 16}
        values |= {name: keys.whole(name, default, least=1) for name, default in defaults.items()}
        if keys.get("draft_ffn_type", "dense") != "dense":
            raise keys.error(
                f"draft_ffn_type is {raw['draft_ffn_type']!r}: a DFlash 2 drafter with layers of experts, which is "
                "not read; expected 'dense'"
            )
        keys.knows(*EXPERTS)
    if kind == "dspark":
        keys.need("markov_rank")
        values |= dspark_heads(keys)
    keys.close()
    config: DFlashConfig = located(key, lambda: DFlashConfig(**values))
    return _check_promise(keys, kind, config, promised)


def dspark_heads(keys: Keys) -> dict[str, Any]:
    """The entries of DSpark's heads. Raises InputError for the Markov heads that carry a gate or a state."""
    rank = keys.whole("markov_rank", 0)
    kind = keys.get("markov_head_type", "vanilla")
    if rank and kind != "vanilla":
        raise keys.error(f"markov_head_type is {kind!r}, expected 'vanilla'")
    confidence = bool(keys.flag("enable_confidence_head", False))
    with_markov = bool(keys.flag("confidence_head_with_markov", False))
    return {"markov_rank": rank, "confidence_head": confidence, "confidence_with_markov": confidence and with_markov}


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
