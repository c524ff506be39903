"""Checkpoint folders of every published structure at reduced width, with the published config keys and tensor names.

The ratio of query to key/value heads, shared layers, K=V, experts, per-layer embeddings, the ordered head and the order
of layer types stay; widths, depth and vocabulary shrink.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from drafters.layouts.known import layout_of
from tests.helpers import published_drafters as published
from tests.helpers import tiny_models as tiny

VOCAB = 96
DRAFT_VOCAB = 40
WINDOW = 16
HEADS = {"head_dim": 8, "global_head_dim": 16}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "position_embedding_size": 16,
}


def small_text(name: str) -> dict[str, Any]:
    full = published.text(name)
    run = full["layer_types"].index(published.F) + 1
    small = (
        full
        | HEADS
        | {
            "num_hidden_layers": 2 * run,
            "layer_types": full["layer_types"][: 2 * run],
            "num_kv_shared_layers": run if full["num_kv_shared_layers"] else 0,
            "hidden_size": full["hidden_size"] // 64,
            "intermediate_size": full["intermediate_size"] // 64,
            "sliding_window": WINDOW,
            "max_position_embeddings": 1024,
            "vocab_size": VOCAB,
            "dtype": "float32",
        }
    )
    if full.get("hidden_size_per_layer_input"):
        small |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB}
    if full.get("enable_moe_block"):
        small |= {"num_experts": 16, "top_k_experts": 2, "moe_intermediate_size": 12}
    return small


def small_target(name: str) -> dict[str, Any]:
    return published.target(name) | {"text_config": small_text(name), "vision_config": VISION}


def small_assistant(name: str) -> dict[str, Any]:
    full, aim = published.assistant(name), small_text(name)
    layers = (
        full["text_config"]
        | HEADS
        | {
            "hidden_size": full["text_config"]["hidden_size"] // 16,
            "intermediate_size": full["text_config"]["intermediate_size"] // 32,
            "sliding_window": WINDOW,
            "max_position_embeddings": 1024,
            "vocab_size": VOCAB,
        }
    )
    return full | {
        "backbone_hidden_size": aim["hidden_size"],
        "num_centroids": 12,
        "centroid_intermediate_top_k": 3,
        "text_config": layers,
    }


def _small_block(full: dict[str, Any], name: str) -> dict[str, Any]:
    """The Qwen3-style entries, reduced."""
    aim = small_text(name)
    kv = max(1, full["num_key_value_heads"] // 4)
    return {
        "hidden_size": aim["hidden_size"],
        "intermediate_size": 2 * aim["hidden_size"],
        "num_attention_heads": kv * full["num_attention_heads"] // full["num_key_value_heads"],
        "num_key_value_heads": kv,
        "head_dim": 8,
        "sliding_window": 12,
        "max_position_embeddings": 1024,
        "vocab_size": VOCAB,
    }


def small_zlab(name: str, *, second: bool = False) -> dict[str, Any]:
    full, layers = published.zlab(name, second=second), small_text(name)["num_hidden_layers"]
    own = full["dflash_config"] | {"target_layer_ids": published.spread(layers, 6)}
    if second:
        own |= {"conv_group_size": 4, "selector_rank": 6, "selector_top_k": 5}
    return full | _small_block(full, name) | {"dflash_config": own, "num_target_layers": layers, "dtype": "float32"}


def small_deepspec(*, markov: bool = False) -> dict[str, Any]:
    full, aim = published.deepspec(markov=markov), small_text("12B")
    kept = ("num_hidden_layers", "layer_types", "block_size", "num_kv_shared_layers")
    small = aim | {key: value for key, value in full.items() if key not in aim or key in kept}
    small |= {"architectures": full["architectures"], "num_target_layers": aim["num_hidden_layers"]}
    small |= {"target_layer_ids": [1, 4, 7, 9, 10], "tie_word_embeddings": False}
    return small | ({"markov_rank": 6} if markov else {})


def small_speculators(kind: str, name: str, **changes: Any) -> dict[str, Any]:
    full = published.speculators(kind, name)
    nested = full["transformer_layer_config"]
    small = full | {
        "transformer_layer_config": nested | _small_block(nested, name),
        "draft_vocab_size": VOCAB if kind == "dflash2" else DRAFT_VOCAB,
        "aux_hidden_state_layer_ids": [1, 3, 6, 8],
    }
    if kind == "dflash2":
        small |= {"conv_group_size": 4, "selector_rank": 6, "selector_top_k": 5}
    if kind == "dspark":
        small |= {"markov_rank": 6}
    return small | changes


# -- writing ---------------------------------------------------------------------------------------------------------


def write(folder: Path, raw: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(raw))
    kept = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def write_transformers(folder: Path, raw: dict[str, Any], seed: int) -> Path:
    """A model of transformers with random weights, saved by transformers, under the published config.json."""
    config = transformers.CONFIG_MAPPING[raw["model_type"]].from_dict(raw)
    model = getattr(transformers, raw["architectures"][0])(config)
    tiny.randomise(model, seed)
    if getattr(model, "masked_embedding", None) is not None:
        order = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(seed))
        model.masked_embedding.token_ordering.copy_(order)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def write_target(folder: Path, name: str) -> Path:
    return write_transformers(folder, small_target(name), seed=0)


def write_assistant(folder: Path, name: str) -> Path:
    return write_transformers(folder, small_assistant(name), seed=1)


def write_block(folder: Path, raw: dict[str, Any], *, seed: int = 2, leave_out: tuple[str, ...] = ()) -> Path:
    """A block drafter with random weights and, where the config has one, a draft vocabulary."""
    layout = layout_of(raw, "test", "dflash")
    model = tiny.randomise(layout.build(layout.parse(raw, "test")), seed)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in leave_out}
    if "d2t" in tensors:
        chosen = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(seed))[:DRAFT_VOCAB].sort().values
        tensors["d2t"] = chosen - torch.arange(DRAFT_VOCAB)
        tensors["t2d"] = torch.zeros(VOCAB, dtype=torch.bool).index_fill_(0, chosen, True)
    return write(folder, raw, tensors)
