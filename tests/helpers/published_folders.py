"""Writing checkpoint folders in the layouts that drafters are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from drafters.dflash.model import DFlashModel

PLAIN = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "block_size",
    "sliding_window",
    "rms_norm_eps",
    "attention_bias",
    "max_position_embeddings",
)
SPECIAL = ("mask_token_id", "target_layer_ids", "input_embedding_scale", "output_multiplier")


def dflash_json(
    model: DFlashModel, *, nested: bool = True, rope: str = "rope_theta", target_layers: int = 4
) -> dict[str, Any]:
    """config.json of a z-lab DFlash checkpoint; entries that the model's config leaves open are left out."""
    config = model.config
    raw: dict[str, Any] = {name: getattr(config, name) for name in PLAIN} | {
        "architectures": ["DFlashDraftModel"],
        "model_type": "qwen3",
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "layer_types": list(config.layer_types),
        "num_target_layers": target_layers if config.num_target_layers is None else config.num_target_layers,
        "final_logit_softcapping": config.final_logit_softcapping,
        "use_sliding_window": True,
        "max_window_layers": config.num_hidden_layers,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }
    special = {name: getattr(config, name) for name in SPECIAL if getattr(config, name) is not None}
    special["target_layer_ids"] = list(config.target_layer_ids)
    if nested:
        raw["dflash_config"] = special
    else:
        raw |= special
    if rope == "rope_theta":
        raw |= {"rope_theta": config.rope_theta, "rope_scaling": None}
    else:
        raw["rope_parameters"] = {"rope_theta": config.rope_theta, "rope_type": "default"}
    if config.is_causal is not None:
        raw["is_causal"] = config.is_causal
    return raw


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Path:
    """A checkpoint folder of one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_dflash(folder: Path, model: DFlashModel, *, prefix: str = "", **layout: Any) -> Path:
    """`model` as z-lab publishes it."""
    tensors = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    return write(folder, dflash_json(model, **layout), tensors)
