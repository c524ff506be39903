"""Tiny random checkpoints of every structure with a vocabulary that a GGUF can hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from harness.vocabulary import ASSETS
from tests.helpers import published_folders as published
from tests.helpers import tiny_models as tiny

VOCAB = 1024  # the embedded tokenizer's
ENDS = (1, 6, 14)  # what it marks as ends, once it is reduced to a GGUF's
SIZES = {"vocab_size": VOCAB, "vocab_size_per_layer_input": VOCAB}
#: The four structures of Gemma 4, and the classes of the 12B.
STRUCTURES: dict[str, dict[str, Any]] = {
    "dense": {"structure": "dense_k_eq_v", "attention_k_eq_v": False},
    "k_eq_v": {"structure": "dense_k_eq_v"},
    "kv_shared": {"structure": "kv_shared"},
    "experts": {"structure": "experts"},
    "unified": {"structure": tiny.UNIFIED},
}


#: ggml takes gelu from a table in half precision between -10 and 10, and exactly outside. Gates far outside leave the
#: rounding of single precision alone, so that a wrong name, shape or key stands out from it.
FAR = 50.0
GATES = ("gate_proj.weight", "per_layer_input_gate.weight")


def target(name: str, seed: int = 0) -> Any:
    """A random target of the structure `name`, without end tokens."""
    options = dict(STRUCTURES[name])
    sizes = {"vocab_size": VOCAB} if name == "unified" else SIZES
    model = tiny.target_model(options.pop("structure"), seed, **sizes, **options)
    with torch.no_grad():
        for part, weight in model.named_parameters():
            if part.endswith(GATES):
                weight.mul_(FAR)
            elif part.endswith("experts.gate_up_proj"):  # gates, then ups
                weight[:, : weight.shape[1] // 2].mul_(FAR)
    return model


def write_target(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(ASSETS / "target" / name, folder / name)
    return folder


def write_assistant(folder: Path, model: Any, *, ordered: bool = False) -> Path:
    """An assistant of the target `model`."""
    tiny.assistant_model(model, ordered=ordered).save_pretrained(folder)
    return folder


def write_dflash(folder: Path, model: Any, **changes: Any) -> Path:
    """A DFlash drafter of the target `model`, in z-lab's layout."""
    layers = model.config.num_hidden_layers
    return published.write_dflash(folder, tiny.dflash_model(model, **changes), target_layers=layers)
