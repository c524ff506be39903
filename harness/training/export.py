"""Checkpoint folders in the published layouts, in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig

from drafters.dflash.model import DFlashModel


def publish_spelling(folder: Path) -> None:
    """Spell the full layers' sizes as the published checkpoints do: every release of transformers reads that."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    layers = text.pop("per_layer_config", None)
    if layers:
        sizes = next(iter(layers.values()))
        text["global_head_dim"] = sizes.get("head_dim", text["head_dim"])
        text["num_global_key_value_heads"] = sizes.get("num_key_value_heads", text["num_key_value_heads"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export_target(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write `gemma4_text`: config, weights, tokenizer with its chat template, and the end tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    stops = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<turn|>")]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    model.float().save_pretrained(folder)
    publish_spelling(folder)
    tokenizer.save_pretrained(folder)


def export_assistant(model: Any, folder: Path, num_assistant_tokens: int = 4) -> None:
    """Write `gemma4_assistant`, with its default number of draft tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        num_assistant_tokens=num_assistant_tokens, num_assistant_tokens_schedule="constant"
    )
    model.float().save_pretrained(folder)
    publish_spelling(folder)


def export_dflash(model: DFlashModel, folder: Path, target: Any) -> None:
    """Write `DFlashDraftModel`: Qwen3-style keys, DFlash's own under `dflash_config`; no embedding, no head."""
    folder.mkdir(parents=True, exist_ok=True)
    c = model.config
    scale: dict[str, Any] = {}
    if c.input_embedding_scale is not None:
        scale["input_embedding_scale"] = c.input_embedding_scale
    config = {
        "architectures": ["DFlashDraftModel"], "model_type": "qwen3", "attention_bias": c.attention_bias,
        "attention_dropout": 0.0, "block_size": c.block_size, "bos_token_id": target.bos_token_id,
        "dflash_config": {"mask_token_id": c.mask_token_id, "target_layer_ids": list(c.target_layer_ids), **scale},
        "dtype": "float32", "eos_token_id": target.eos_token_id, "final_logit_softcapping": c.final_logit_softcapping,
        "head_dim": c.head_dim, "hidden_act": "silu", "hidden_size": c.hidden_size, "initializer_range": 0.02,
        "intermediate_size": c.intermediate_size, "layer_types": list(c.layer_types),
        "max_position_embeddings": c.max_position_embeddings, "max_window_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads, "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads, "num_target_layers": c.num_target_layers,
        "pad_token_id": target.pad_token_id, "rms_norm_eps": c.rms_norm_eps, "rope_scaling": None,
        "rope_theta": c.rope_theta, "sliding_window": c.sliding_window, "tie_word_embeddings": False,
        "use_cache": True, "use_sliding_window": "sliding_attention" in c.layer_types, "vocab_size": c.vocab_size,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {n: v.detach().to("cpu", torch.float32).contiguous() for n, v in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
