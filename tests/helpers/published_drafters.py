"""The published configurations of the Gemma 4 family, as their config.json files spell them.

The `small_` functions of `tests.helpers.drafter_folders` make the same structures small.
"""

from __future__ import annotations

from typing import Any

from harness.target.shapes import (  # noqa: F401  (the tests take all published shapes from here)
    EDGE,
    NAMES,
    ROPE,
    SERVER,
    VOCAB,
    F,
    S,
    assistant,
    is_unified,
    spread,
    target,
    text,
    zlab,
)


def deepspec(*, markov: bool = False) -> dict[str, Any]:
    """DeepSpec's drafter for 12B: DFlash, or DSpark with `markov`."""
    config = text("12B") | {
        "architectures": ["Gemma4DSparkModel"],
        "num_target_layers": 48,
        "num_hidden_layers": 5,
        "layer_types": [F] * 5,
        "block_size": 7,
        "mask_token_id": 4,
        "target_layer_ids": [5, 17, 29, 41, 46],
        "tie_word_embeddings": False,
        "num_anchors": 512,
        "markov_rank": 0,
        "enable_confidence_head": False,
    }
    if markov:
        config |= {"markov_rank": 256, "markov_head_type": "vanilla"}
        config |= {"enable_confidence_head": True, "confidence_head_with_markov": True}
    return config


def speculators(kind: str, name: str, **changes: Any) -> dict[str, Any]:
    """A speculators drafter of `kind` dflash, dflash2 or dspark."""
    aim = text(name)
    blocks = {"dflash": 8, "dflash2": 8, "dspark": 5}
    heads = {"E2B": (12, 4), "E4B": (16, 4)}.get(name, (32, 8))
    return {
        "architectures": [{"dflash": "DFlashSpeculator", "dflash2": "DFlash2DraftModel"}.get(kind, "DSparkDraftModel")],
        "speculators_model_type": kind,
        "block_size": blocks[kind],
        "draft_vocab_size": VOCAB if kind == "dflash2" else 32000,
        "mask_token_id": 4,
        "aux_hidden_state_layer_ids": {"E2B": [3, 13, 23, 33], "31B": [1, 17, 29, 47, 58]}.get(name, [3, 13, 23, 33]),
        "sample_from_anchor": kind == "dspark",
        "sliding_window_non_causal": kind == "dflash2",
        "speculators_config": {
            "algorithm": kind,
            "proposal_methods": [{"proposal_type": "greedy", "speculative_tokens": 5 if kind == "dspark" else 7}],
        },
        "transformer_layer_config": {
            "model_type": "qwen3",
            "head_dim": 128,
            "hidden_size": aim["hidden_size"],
            "intermediate_size": 4 * aim["hidden_size"] if kind == "dflash2" else 2 * aim["hidden_size"],
            "layer_types": [S, S, S, S, F],
            "num_attention_heads": heads[0],
            "num_hidden_layers": 5,
            "num_key_value_heads": heads[1],
            "max_position_embeddings": 131072,
            "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
            "sliding_window": 2048,
            "use_sliding_window": True,
            "vocab_size": VOCAB,
        },
        **(
            {"markov_rank": 256, "enable_confidence_head": True, "confidence_head_with_markov": True}
            if kind == "dspark"
            else {}
        ),
        **changes,
    }


def early_speculators(kind: str = "dflash", promised: int | None = None, **changes: Any) -> dict[str, Any]:
    """A published config without sample_from_anchor, as files from before that entry are."""
    raw = speculators(kind, "31B")
    del raw["sample_from_anchor"]
    methods = [{"proposal_type": "greedy", "speculative_tokens": promised}]
    return raw | {"speculators_config": {"algorithm": kind, "proposal_methods": methods}} | changes
