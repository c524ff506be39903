"""The frozen target as a teacher: one pass gives every input and every label of a drafter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drafters.gemma4 import run_layers, text_model_of
from harness.training.data import TrainingBatch


@dataclass(frozen=True, slots=True)
class TeacherPass:
    """One teacher-forced pass over a batch of T tokens."""

    embeddings: Tensor  # [B, T, H] as the target's first layer sees them (scaled)
    hidden: Tensor  # [B, T, H] after the final norm; row t predicts token t+1
    kv: dict[str, tuple[Tensor, Tensor]]  # per layer type [B, Hkv, T, D]: the last layer that keeps its own
    taps: Tensor | None  # [B, T, K*H]


class Teacher:
    """A frozen Gemma 4 target."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.text = text_model_of(model)
        self.head = model.get_output_embeddings()
        self.config = self.text.config

    def masks(self, length: int, device: torch.device) -> dict[str, Tensor]:
        """Additive causal masks [1, 1, T, T] of both layer types; rows are padded on the right."""
        return causal_masks(length, self.config.sliding_window, device)

    @torch.no_grad()
    def observe(self, batch: TrainingBatch, taps: tuple[int, ...] = ()) -> TeacherPass:
        tokens = batch.tokens
        embeddings = self.text.embed_tokens(tokens)
        per_layer = None
        if self.config.hidden_size_per_layer_input:
            identity = self.text.get_per_layer_inputs(tokens)
            per_layer = self.text.project_per_layer_inputs(embeddings, identity)
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        kv: dict[str, tuple[Tensor, Tensor]] = {}
        hidden, tapped = run_layers(
            self.text, embeddings, positions, self.masks(tokens.shape[1], tokens.device), shared_kv=kv,
            per_layer=per_layer, taps=taps,
        )  # fmt: skip
        features = torch.cat([tapped[i] for i in taps], dim=-1) if taps else None
        return TeacherPass(embeddings, hidden, kv, features)

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """Soft-capped logits in fp32 of normed states [..., H]."""
        return softcap(self.head(hidden), self.config.final_logit_softcapping)


def causal_masks(length: int, window: int, device: torch.device) -> dict[str, Tensor]:
    """Additive masks [1, 1, T, T] of both layer types for rows padded on the right."""
    index = torch.arange(length, device=device)
    back = index[:, None] - index[None]  # [T, T]
    low = torch.finfo(torch.float32).min
    full = torch.zeros(length, length, device=device).masked_fill(back < 0, low)
    return {"full_attention": full[None, None], "sliding_attention": full.masked_fill(back >= window, low)[None, None]}


def softcap(logits: Tensor, cap: float | None) -> Tensor:
    """Gemma's tanh cap, in fp32."""
    logits = logits.float()
    return logits if not cap else torch.tanh(logits / cap) * cap
