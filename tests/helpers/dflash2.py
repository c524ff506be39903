"""The shipped DFlash drafter with the parts that DFlash 2 adds, so that its drafts are accepted and its parts count."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from drafters.layouts.zlab import V2

PARTS = {"conv_kernel_size": 2, "conv_group_size": 16, "selector_rank": 32, "selector_top_k": 8}


def write_dflash2(folder: Path, shipped: Path, *, conv: float = 0.05, selector: float = 0.3, seed: int = 0) -> Path:
    """`shipped` in the DFlash 2 layout: convolutions near the identity and a path selector, random to these scales."""
    raw = json.loads((shipped / "config.json").read_text(encoding="utf-8"))
    raw |= {"architectures": [V2], "dflash_config": raw["dflash_config"] | PARTS}
    hidden, vocabulary, rank = raw["hidden_size"], raw["vocab_size"], PARTS["selector_rank"]
    taps, groups = PARTS["conv_kernel_size"], hidden // PARTS["conv_group_size"]
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    tensors = load_file(shipped / "model.safetensors")
    for layer in range(raw["num_hidden_layers"]):
        for part in ("attention_conv", "mlp_conv"):
            kernel = conv * noise(2, taps, hidden)
            kernel[:, 0] += 1.0
            tensors[f"layers.{layer}.{part}.base_kernel"] = kernel
            projection = conv * noise(2 * taps * groups, hidden) / hidden**0.5
            tensors[f"layers.{layer}.{part}.kernel_projection.weight"] = projection
    tensors |= {
        "candidate_selector.hidden_projection.weight": noise(rank, hidden) / hidden**0.5,
        "candidate_selector.predecessor_codebook": selector * noise(vocabulary, rank),
        "candidate_selector.successor_codebook": noise(vocabulary, rank),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder
