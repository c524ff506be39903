"""The published shapes of the Gemma 4 family, as their config.json files spell them.

They let a target and its drafters be built at full size with random weights, to learn what drafting would cost on the
hardware at hand before anything is downloaded; and they are what the tests make small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

S, F = "sliding_attention", "full_attention"
ROPE = {
    F: {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
    S: {"rope_theta": 10000.0, "rope_type": "default"},
}
VOCAB = 262_144
EDGE, SERVER = ("E2B", "E4B"), ("12B", "26B-A4B", "31B")
NAMES = EDGE + SERVER

_PATTERN = {"E2B": 4, "E4B": 5, "12B": 5, "26B-A4B": 5, "31B": 5}  # sliding layers before each full one
_COLUMNS: dict[str, tuple[Any, ...]] = {
    "num_hidden_layers": (35, 42, 48, 30, 60),
    "hidden_size": (1536, 2560, 3840, 2816, 5376),
    "intermediate_size": (6144, 10240, 15360, 2112, 21504),
    "num_attention_heads": (8, 8, 16, 16, 32),
    "num_key_value_heads": (1, 2, 8, 8, 16),
    "num_global_key_value_heads": (None, None, 1, 2, 4),
    "attention_k_eq_v": (False, False, True, True, True),
    "sliding_window": (512, 512, 1024, 1024, 1024),
    "num_kv_shared_layers": (20, 18, 0, 0, 0),
    "use_double_wide_mlp": (True, False, False, False, False),
    "max_position_embeddings": (131072, 131072, 262144, 262144, 262144),
}
_PER_LAYER = {
    "E2B": {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": VOCAB},
    "E4B": {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": VOCAB},
    "26B-A4B": {
        "hidden_size_per_layer_input": 0,
        "enable_moe_block": True,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
    },
    "31B": {"hidden_size_per_layer_input": 0},
    "12B": {},
}


def is_unified(name: str) -> bool:
    return name == "12B"


def text(name: str) -> dict[str, Any]:
    """The target's text_config."""
    column = NAMES.index(name)
    values = {key: row[column] for key, row in _COLUMNS.items()}
    layers, run = values["num_hidden_layers"], _PATTERN[name]
    return {
        **values,
        **_PER_LAYER[name],
        "model_type": "gemma4_unified_text" if is_unified(name) else "gemma4_text",
        "layer_types": [F if (index + 1) % (run + 1) == 0 else S for index in range(layers)],
        "vocab_size": VOCAB,
        "head_dim": 256,
        "global_head_dim": 512,
        "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_parameters": ROPE,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "dtype": "bfloat16",
    }


def target(name: str) -> dict[str, Any]:
    """The target's config.json."""
    kind = "gemma4_unified" if is_unified(name) else "gemma4"
    architecture = "Gemma4UnifiedForConditionalGeneration" if is_unified(name) else "Gemma4ForConditionalGeneration"
    return {
        "model_type": kind,
        "architectures": [architecture],
        "text_config": text(name),
        "vision_config": {},
        "audio_config": None,
        "tie_word_embeddings": True,
    }


def assistant(name: str) -> dict[str, Any]:
    """The assistant's config.json."""
    aim = text(name)
    prefix = "gemma4_unified" if is_unified(name) else "gemma4"
    small = name in EDGE
    kept = ("num_key_value_heads", "num_global_key_value_heads", "attention_k_eq_v", "sliding_window")
    layers = {
        **{key: aim[key] for key in (*kept, "max_position_embeddings", "vocab_size", "head_dim", "global_head_dim")},
        "model_type": f"{prefix}_text",
        "hidden_size": 256 if small else 1024,
        "intermediate_size": 2048 if small else 8192,
        "num_attention_heads": {"E2B": 4, "E4B": 4, "31B": 32}.get(name, 16),
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 4,
        "layer_types": [S, S, S, F],
        "rope_parameters": ROPE,
        "final_logit_softcapping": None,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 0,
        "enable_moe_block": False,
        "use_double_wide_mlp": False,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
    }
    return {
        "model_type": f"{prefix}_assistant",
        "architectures": ["Gemma4UnifiedAssistantForCausalLM" if is_unified(name) else "Gemma4AssistantForCausalLM"],
        "backbone_hidden_size": aim["hidden_size"],
        "use_ordered_embeddings": small,
        "num_centroids": 2048,
        "centroid_intermediate_top_k": 32,
        "tie_word_embeddings": True,
        "text_config": layers,
    }


def spread(layers: int, taps: int) -> list[int]:
    """z-lab's rule for the tapped layers."""
    return [round(1 + i * (layers - 4) / (taps - 1)) for i in range(taps)]


def zlab(name: str, *, second: bool = False) -> dict[str, Any]:
    """z-lab's drafter for a server model; `second` gives it DFlash 2's parts."""
    aim = text(name)
    rope: dict[str, Any] = {"rope_theta": 1000000, "rope_scaling": None}
    if name == "12B":  # exported later than the others
        rope = {"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}}
    own = {"mask_token_id": 4, "target_layer_ids": spread(aim["num_hidden_layers"], 6)}
    if second:
        own |= {"conv_kernel_size": 2, "conv_group_size": 16, "selector_rank": 256, "selector_top_k": 16}
    return {
        "architectures": ["DFlash2DraftModel" if second else "DFlashDraftModel"],
        "model_type": "qwen3",
        "attention_bias": False,
        "block_size": 16,
        "dflash_config": own,
        "dtype": "bfloat16",
        "final_logit_softcapping": 30.0,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": aim["hidden_size"],
        "intermediate_size": 2 * aim["hidden_size"],
        "layer_types": [S, S, S, S, F],
        "max_position_embeddings": 262144,
        "num_attention_heads": 64 if name == "31B" else 32,
        "num_hidden_layers": 5,
        "num_key_value_heads": 8,
        "num_target_layers": aim["num_hidden_layers"],
        "rms_norm_eps": 1e-06,
        "sliding_window": 2048,
        "tie_word_embeddings": False,
        "use_sliding_window": True,
        "vocab_size": aim["vocab_size"],
        **({"is_causal": False} if second else {}),
        **rope,
    }


#: Published drafters by kind: the sizes that have one, and its config.json for a size.
DRAFTERS: dict[str, tuple[tuple[str, ...], Callable[[str], dict[str, Any]]]] = {
    "mtp": (NAMES, assistant),
    "dflash": (SERVER, zlab),
}


def drafter(kind: str, size: str | None) -> dict[str, Any] | None:
    """The config.json of the published drafter of `kind` for `size`; None where there is none."""
    sizes, config = DRAFTERS.get(kind, ((), None))
    return config(size) if config is not None and size in sizes else None
