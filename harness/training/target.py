"""The embedded target: a small Gemma 4 text model trained from scratch on the corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from drafters.errors import InputError
from harness.training.data import TrainingBatch
from harness.training.fused import Kernels
from harness.training.teacher import causal_masks


@dataclass
class TargetShape:
    """The sizes of a small Gemma 4; everything else is as in the published models."""

    vocab_size: int = 1024
    hidden_size: int = 256
    intermediate_size: int = 512
    pattern: str = "SSFSSFSSF"  # S sliding, F full; the last is full
    heads: int = 4
    kv_heads: int = 2
    global_kv_heads: int = 2
    head_dim: int = 64
    global_head_dim: int = 128
    sliding_window: int = 64
    k_eq_v: bool = True
    kv_shared_layers: int = 0
    per_layer_size: int = 0
    double_wide: bool = False
    max_positions: int = 2048

    def __post_init__(self) -> None:
        if set(self.pattern) - set("SF") or not self.pattern.endswith("F"):
            raise InputError(f"shape.pattern is {self.pattern!r}: expected letters S and F, ending in F")
        if self.heads % self.kv_heads or self.heads % self.global_kv_heads:
            raise InputError(
                f"shape.heads is {self.heads}: expected a multiple of shape.kv_heads {self.kv_heads} and "
                f"shape.global_kv_heads {self.global_kv_heads}"
            )
        if not 0 <= self.kv_shared_layers < len(self.pattern):
            raise InputError(
                f"shape.kv_shared_layers is {self.kv_shared_layers}: expected less than the {len(self.pattern)} layers"
            )

    def config(self) -> Gemma4TextConfig:
        """The transformers config of this shape."""
        return Gemma4TextConfig(
            vocab_size=self.vocab_size, hidden_size=self.hidden_size, intermediate_size=self.intermediate_size,
            num_hidden_layers=len(self.pattern), num_attention_heads=self.heads, num_key_value_heads=self.kv_heads,
            num_global_key_value_heads=self.global_kv_heads, head_dim=self.head_dim,
            global_head_dim=self.global_head_dim, attention_k_eq_v=self.k_eq_v, sliding_window=self.sliding_window,
            layer_types=["sliding_attention" if c == "S" else "full_attention" for c in self.pattern],
            hidden_size_per_layer_input=self.per_layer_size, vocab_size_per_layer_input=self.vocab_size,
            num_kv_shared_layers=self.kv_shared_layers, use_double_wide_mlp=self.double_wide,
            final_logit_softcapping=30.0, max_position_embeddings=self.max_positions, tie_word_embeddings=True,
            pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )  # fmt: skip


def build_target(shape: TargetShape, seed: int) -> Gemma4ForCausalLM:
    """A target with fresh weights.

    Gemma 4 scales attention by 1 and norms queries and keys, so scores of fresh weights would spread by the square root
    of the head size and saturate the softmax; the query norms start at its inverse instead. Copying is learned several
    times sooner for it.
    """
    torch.manual_seed(seed)
    model = Gemma4ForCausalLM(shape.config())
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_norm.weight.fill_(layer.self_attn.head_dim**-0.5)
    return model


def target_loss(model: Any, prompt_weight: float) -> Callable[[TrainingBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Next-token loss over the model's own tokens, the prompt's tokens weighted by `prompt_weight`."""
    config = model.config

    def loss_of(batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = batch.tokens  # [B, T]
        masks = causal_masks(tokens.shape[1], config.sliding_window, tokens.device)
        hidden = model.model(input_ids=tokens, attention_mask=masks, use_cache=False).last_hidden_state  # [B, T, H]
        labels = tokens[:, 1:]
        real = torch.arange(1, tokens.shape[1], device=tokens.device)[None] < batch.lengths[:, None]  # [B, T-1]
        spoken = batch.spoken[:, 1:]
        logits = model.lm_head(hidden[:, :-1]).flatten(0, 1)
        each = Kernels.nll(logits, labels.flatten(), config.final_logit_softcapping).view_as(labels)
        weight = torch.where(spoken, 1.0, prompt_weight) * real
        loss = (each * weight).sum() / weight.sum()
        return loss, {"spoken": (each * spoken).sum().detach() / spoken.sum()}

    return loss_of
