"""Tiny random Gemma 4 models of the published structures, built in milliseconds.

The embedding is small beside what the layers add, so greedy answers wander instead of repeating one token, and the
vocabulary is small, so that random drafters are right now and then: rounds accept all counts from none upwards.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Gemma4AssistantConfig,
    Gemma4AssistantForCausalLM,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    Gemma4UnifiedAssistantConfig,
    Gemma4UnifiedAssistantForCausalLM,
    Gemma4UnifiedForCausalLM,
    Gemma4UnifiedTextConfig,
)

from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import DFlashModel

VOCAB = 24
WINDOW = 16
WANDERS = 7  # the seed, of the first fifteen, with the most tokens in the answers of every structure
S, F = "sliding_attention", "full_attention"

STRUCTURES: dict[str, dict[str, Any]] = {
    # 31B- and 12B-like: full layers share one projection between keys and values
    "dense_k_eq_v": {
        "attention_k_eq_v": True,
        "num_global_key_value_heads": 1,
        "hidden_size_per_layer_input": 0,
    },
    # E2B-like: shared keys and values, per-layer embeddings, wider MLP in the sharing layers
    "kv_shared": {
        "num_hidden_layers": 5,
        "layer_types": [S, S, F, S, F],  # of two sliding layers that keep their own, the second is shared
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCAB,
        "use_double_wide_mlp": True,
    },
    # 26B-A4B-like: mixture of experts beside a dense MLP
    "experts": {
        "attention_k_eq_v": True,
        "num_global_key_value_heads": 1,
        "hidden_size_per_layer_input": 0,
        "enable_moe_block": True,
        "num_experts": 8,
        "top_k_experts": 2,
        "moe_intermediate_size": 16,
    },
}
#: 12B-like: its own classes, whose layers know neither experts nor per-layer embeddings.
UNIFIED = "unified"
EVERY_STRUCTURE = (*STRUCTURES, UNIFIED)


def target_config(structure: str, **overrides: Any) -> Any:
    common: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "layer_types": [S, F, S, F],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "global_head_dim": 16,
        "sliding_window": WINDOW,
        "final_logit_softcapping": 30.0,
        "max_position_embeddings": 1024,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    if structure == UNIFIED:
        own = {"attention_k_eq_v": True, "num_global_key_value_heads": 1}
        return Gemma4UnifiedTextConfig(**{**common, **own, **overrides})
    embeddings = {"vocab_size_per_layer_input": common["vocab_size"]}
    return Gemma4TextConfig(**{**common, **embeddings, **STRUCTURES[structure], **overrides})


def randomise(model: torch.nn.Module, seed: int, scale: float = 0.25) -> torch.nn.Module:
    """Fill with seeded normal weights, norms around one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and parameter.dim() == 1:
                parameter.copy_(1.0 + 0.1 * noise)
            else:
                parameter.copy_((0.05 if "embed_tokens.weight" in name else scale) * noise)
    return model.eval()


def target_model(structure: str = "dense_k_eq_v", seed: int = WANDERS, **overrides: Any) -> Any:
    build = Gemma4UnifiedForCausalLM if structure == UNIFIED else Gemma4ForCausalLM
    model: Any = randomise(build(target_config(structure, **overrides)), seed)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def assistant_model(target: Any, seed: int = 1, ordered: bool = False, **overrides: Any) -> Any:
    """An assistant that fits `target`; `overrides` go to its text config."""
    config = target.config
    raw = config.to_dict()
    full = config.layer_types.index(F)
    layer = config.per_layer_config[full]
    unified = config.model_type.startswith("gemma4_unified")
    text: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": raw["num_key_value_heads"],
        "head_dim": raw["head_dim"],
        "global_head_dim": layer.head_dim,
        "num_global_key_value_heads": layer.num_key_value_heads if config.attention_k_eq_v else None,
        "attention_k_eq_v": config.attention_k_eq_v,
        "layer_types": [S, F],
        "num_kv_shared_layers": 2,
        "sliding_window": config.sliding_window,
        "max_position_embeddings": 1024,
    }
    head: dict[str, Any] = {
        "backbone_hidden_size": config.hidden_size,
        "use_ordered_embeddings": ordered,
        "num_centroids": 16 if config.vocab_size % 12 else 12,
        "centroid_intermediate_top_k": 4,
    }
    if unified:
        text_config = Gemma4UnifiedTextConfig(**{**text, **overrides})
        model: Any = Gemma4UnifiedAssistantForCausalLM(Gemma4UnifiedAssistantConfig(text_config=text_config, **head))
    else:
        no_embeddings = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
        text_config = Gemma4TextConfig(**{**text, **no_embeddings, **overrides})
        model = Gemma4AssistantForCausalLM(Gemma4AssistantConfig(text_config=text_config, **head))
    randomise(model, seed)
    if ordered:
        order = torch.randperm(config.vocab_size, generator=torch.Generator().manual_seed(seed))
        model.masked_embedding.token_ordering.copy_(order)
    return model


def dflash_config(target: Any, **overrides: Any) -> DFlashConfig:
    values: dict[str, Any] = {
        "hidden_size": target.config.hidden_size,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": target.config.vocab_size,
        "block_size": 16,
        "mask_token_id": 4,
        "target_layer_ids": (0, 1, 2),
        "layer_types": (S, S, F),
        "sliding_window": 12,
        "final_logit_softcapping": 30.0,
        "input_embedding_scale": 1.0,
    }
    return DFlashConfig(**{**values, **overrides})


def dflash_model(target: Any, seed: int = 2, **overrides: Any) -> DFlashModel:
    return randomise(DFlashModel(dflash_config(target, **overrides)), seed)  # type: ignore[return-value]


def prompt(length: int, seed: int = 0) -> list[int]:
    """`length` seeded tokens, none of them special."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(5, VOCAB, (length,), generator=generator).tolist()
