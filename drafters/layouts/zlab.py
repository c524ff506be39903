"""z-lab's DFlash and DFlash 2: Qwen3-style layers that borrow the target's embedding and head.

`model_type` is "qwen3", so nothing but `architectures` tells them apart. Keys special to DFlash stand at the top level
or under `dflash_config`; the rotary base in `rope_theta` or `rope_parameters`. DFlash 2 adds dynamic convolutions and
a path selector (https://inco.ai/blog/dflash2).
"""

from __future__ import annotations

from typing import Any

from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import DFlashModel
from drafters.layouts.base import Keys, Layout, architecture, located, rope_theta, section
from drafters.layouts.others import check_no_markov, check_projector, refuse_quantized

V1, V2 = "DFlashDraftModel", "DFlash2DraftModel"
SLIDING, FULL = "sliding_attention", "full_attention"


def qwen3_layers(keys: Keys) -> dict[str, Any]:
    """The entries that describe Qwen3-style layers, as DFlashConfig names them."""
    if keys.get("hidden_act", "silu") != "silu":
        raise keys.error(f"hidden_act is {keys.get('hidden_act')!r}, expected 'silu'")
    hidden, heads = keys.whole("hidden_size", least=1), keys.whole("num_attention_heads", least=1)
    layers = keys.whole("num_hidden_layers", least=1)
    layer_types, window, forced = attention_windows(keys, layers)
    return {
        "hidden_size": hidden,
        "intermediate_size": keys.whole("intermediate_size", least=1),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.whole("num_key_value_heads", heads, least=1),
        "head_dim": keys.maybe("head_dim", least=2) or hidden // heads,
        "vocab_size": keys.whole("vocab_size", least=1),
        "layer_types": layer_types,
        "sliding_window": window,
        "is_causal": False if forced else None,
        "rope_theta": rope_theta(keys),
        "rms_norm_eps": keys.number("rms_norm_eps", 1e-6),
        "attention_bias": keys.flag("attention_bias", False),
        "max_position_embeddings": keys.whole("max_position_embeddings", 262_144, least=1),
    }


def attention_windows(keys: Keys, layers: int) -> tuple[tuple[str, ...], int | None, bool]:
    """Each layer's type, the window of the sliding ones, and whether `use_swa` alone made them slide.

    `use_swa` puts `swa_window_size` on every layer that `layer_types` leaves full, and block slots go on seeing each
    other there: so vLLM reads what Model Optimizer writes. Without `layer_types` the layers from `max_window_layers` on
    slide, as in Qwen3Config.
    """
    window, slides = keys.maybe("sliding_window", least=1), keys.flag("use_sliding_window")
    first = keys.whole("max_window_layers", 28)
    swa, swa_window = keys.flag("use_swa", False), keys.maybe("swa_window_size", least=1)
    kinds = keys.words("layer_types")
    if kinds is None:
        kinds = tuple(SLIDING if slides and window and index >= first else FULL for index in range(layers))
    sliding = kinds.count(SLIDING)
    if sliding and slides is False and swa_window is None:
        raise keys.error(f"layer_types has {SLIDING}, but use_sliding_window is false; expected both to say the same")
    if swa and 0 < sliding < len(kinds):
        raise keys.error(f"use_swa is true, but layer_types has {SLIDING} on some layers only; expected all or none")
    forced = bool(swa and not sliding)
    if forced:
        kinds = (SLIDING,) * layers
        if not (swa_window or window):
            raise keys.error("use_swa is true, but neither swa_window_size nor sliding_window is set")
    return kinds, (swa_window or window) if SLIDING in kinds else window, forced


def causality(keys: Keys) -> bool | None:
    """True for causal attention within the block on all layers; None where it depends on the layer's type."""
    given = {name: keys.flag(name) for name in ("is_causal", "causal", "causal_head")}
    said = {name: value for name, value in given.items() if value is not None}
    if len(set(said.values())) > 1:
        raise keys.error(", ".join(f"{name} is {str(value).lower()}" for name, value in said.items()) + ": they differ")
    return next(iter(said.values()), None)


def _parse(raw: dict[str, Any], key: str, name: str, projectors: tuple[str, ...], extra: tuple[str, ...]) -> Any:
    refuse_quantized(raw, key)
    own = section(raw, "dflash_config", key)
    keys = Keys(key, f"a {name} drafter", own, raw)
    keys.knows("dflash_config")
    check_projector(keys, *projectors)
    check_no_markov(keys)
    for shared in ("block_size", "mask_token_id", "target_layer_ids"):
        keys.same(shared)
    layers = qwen3_layers(keys)
    for entry, wanted in (("draft_vocab_size", layers["vocab_size"]), ("target_hidden_size", layers["hidden_size"])):
        if keys.get(entry, wanted) != wanted:
            raise keys.error(f"{entry} is {keys.get(entry)!r}, expected {wanted}")
    causal = causality(keys)
    values = {
        **layers,
        "block_size": keys.need("block_size"),
        "mask_token_id": keys.whole("mask_token_id"),
        "target_layer_ids": keys.wholes("target_layer_ids"),
        "num_target_layers": keys.maybe("num_target_layers"),
        "input_embedding_scale": keys.number("input_embedding_scale"),
        "output_multiplier": keys.number("output_multiplier", 1.0),
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "is_causal": layers["is_causal"] if causal is None else causal,
        "layout": name,
        **{entry: keys.whole(entry, least=1) for entry in extra},
    }
    keys.close()
    return located(key, lambda: DFlashConfig(**values))


def parse_v1(raw: dict[str, Any], key: str) -> Any:
    return _parse(raw, key, "z-lab DFlash", ("dflash",), ())


def parse_v2(raw: dict[str, Any], key: str) -> Any:
    names = ("conv_kernel_size", "conv_group_size", "selector_rank", "selector_top_k")
    return _parse(raw, key, "z-lab DFlash 2", ("dflash2", "dflash"), names)


def _is(name: str, raw: dict[str, Any]) -> bool:
    return architecture(raw) == name and "speculators_model_type" not in raw


DFLASH = Layout(
    name="z-lab DFlash",
    kind="dflash",
    marker=f'architectures ["{V1}"]',
    matches=lambda raw: _is(V1, raw),
    parse=parse_v1,
    build=DFlashModel,
)
DFLASH2 = Layout(
    name="z-lab DFlash 2",
    kind="dflash",
    marker=f'architectures ["{V2}"]',
    matches=lambda raw: _is(V2, raw),
    parse=parse_v2,
    build=DFlashModel,
)
