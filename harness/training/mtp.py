"""The MTP assistant's recipe: unrolled over its draft steps, at every position of the target's own answers at once.

Step 1 at anchor p reads the target's state of token p-1 and the embedding of token p; step j reads its own fed-back
state and the embedding of token p+j-1. All steps stand at position p and see the target's keys and values of positions
0..p-1, in sliding layers those from p-1-window on, exactly as the drafter does when it decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Gemma4AssistantForCausalLM, Gemma4TextConfig
from transformers.models.gemma4_assistant import Gemma4AssistantConfig

from drafters.errors import InputError
from drafters.gemma4 import run_layers
from harness.training.data import TrainingBatch
from harness.training.distill import distill
from harness.training.ordered import CENTROID_WEIGHT, centroid_loss, cluster
from harness.training.teacher import Teacher, TeacherPass


@dataclass
class MTPShape:
    """The assistant's own sizes; head dims, key/value heads and windows are the target's."""

    hidden_size: int = 128
    intermediate_size: int = 384
    pattern: str = "SF"
    heads: int = 4
    steps: int = 6  # unrolled draft steps in training
    step_decay: float = 0.9  # weight of step j: step_decay ** (j - 1)
    ordered: bool = False
    centroids: int = 64
    top_centroids: int = 8

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"mtp.steps is {self.steps}: expected at least 1")
        if set(self.pattern) != {"S", "F"} or not self.pattern.endswith("F"):
            raise InputError(f"mtp.pattern is {self.pattern!r}: expected S and F, ending in F, each at least once")


def _layer_sizes(target: Any, kind: str) -> tuple[int, int]:
    layer = target.per_layer_config[max(i for i, k in enumerate(target.layer_types) if k == kind)]
    return layer.head_dim, layer.num_key_value_heads


def assistant_config(target: Any, shape: MTPShape) -> Gemma4AssistantConfig:
    """The published `gemma4_assistant` config that fits a target's text config."""
    head_dim, kv_heads = _layer_sizes(target, "sliding_attention")
    global_head_dim, global_kv_heads = _layer_sizes(target, "full_attention")
    if shape.heads % kv_heads or shape.heads % global_kv_heads:
        raise InputError(
            f"mtp.heads is {shape.heads}: expected a multiple of the target's {kv_heads} and {global_kv_heads}"
        )
    if shape.ordered and target.vocab_size % shape.centroids:
        raise InputError(
            f"mtp.centroids is {shape.centroids}: expected a divisor of the vocabulary {target.vocab_size}"
        )
    text = Gemma4TextConfig(
        vocab_size=target.vocab_size, hidden_size=shape.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=len(shape.pattern), num_attention_heads=shape.heads, num_key_value_heads=kv_heads,
        num_global_key_value_heads=global_kv_heads, head_dim=head_dim, global_head_dim=global_head_dim,
        attention_k_eq_v=target.attention_k_eq_v, sliding_window=target.sliding_window,
        layer_types=["sliding_attention" if c == "S" else "full_attention" for c in shape.pattern],
        rope_parameters=target.rope_parameters, num_kv_shared_layers=len(shape.pattern),
        hidden_size_per_layer_input=0, vocab_size_per_layer_input=0, final_logit_softcapping=None,
        max_position_embeddings=target.max_position_embeddings, tie_word_embeddings=True,
        pad_token_id=target.pad_token_id, eos_token_id=target.eos_token_id, bos_token_id=target.bos_token_id,
    )  # fmt: skip
    return Gemma4AssistantConfig(
        text_config=text, backbone_hidden_size=target.hidden_size, use_ordered_embeddings=shape.ordered,
        num_centroids=shape.centroids, centroid_intermediate_top_k=shape.top_centroids,
    )  # fmt: skip


def build_assistant(teacher: Teacher, shape: MTPShape, seed: int) -> Gemma4AssistantForCausalLM:
    """An assistant whose head starts from the main directions of the target's head; all other weights are fresh."""
    torch.manual_seed(seed)
    model = Gemma4AssistantForCausalLM(assistant_config(teacher.config, shape))
    with torch.no_grad():
        for layer in model.model.layers:  # against saturated attention, as in build_target
            layer.self_attn.q_norm.weight.fill_(layer.self_attn.head_dim**-0.5)
    rows = teacher.head.weight.detach().float()  # [V, H]
    if shape.hidden_size <= min(rows.shape):
        main = torch.linalg.svd(rows, full_matrices=False).Vh[: shape.hidden_size]
        start = rows @ main.T
        with torch.no_grad():
            model.lm_head.weight.copy_(start * (0.05 / start.std()))
    if shape.ordered:
        model.masked_embedding.token_ordering.copy_(cluster(rows, shape.centroids))
    return model


def query_masks(length: int, window: int, device: torch.device) -> dict[str, Tensor]:
    """Additive masks [1, 1, T, T] of queries at anchors 0..T-1 over the target's rows: row s where s < p."""
    index = torch.arange(length, device=device)
    back = index[:, None] - 1 - index[None]  # distance from the last verified row, p-1
    low = torch.finfo(torch.float32).min
    full = torch.zeros(length, length, device=device).masked_fill(back < 0, low)
    return {"full_attention": full[None, None], "sliding_attention": full.masked_fill(back > window, low)[None, None]}


def unroll(model: Any, teacher: Teacher, seen: TeacherPass, steps: int) -> Iterator[Tensor]:
    """Normed states [B, T, H] of draft steps 1..steps, row p for the anchor at p, later tokens teacher-forced."""
    length, device = seen.hidden.shape[1], seen.hidden.device
    positions = torch.arange(length, device=device)[None]
    masks = query_masks(length, teacher.config.sliding_window, device)
    state = torch.cat((torch.zeros_like(seen.hidden[:, :1]), seen.hidden[:, :-1]), dim=1)  # at p: the state of p-1
    for step in range(1, steps + 1):
        token = torch.roll(seen.embeddings, 1 - step, dims=1)  # at p: the embedding of token p+step-1
        inputs = model.pre_projection(torch.cat((token, state), dim=-1))
        normed, _ = run_layers(model.model, inputs, positions, masks, shared_kv=dict(seen.kv))
        state = model.post_projection(normed)
        yield normed


def mtp_loss(
    model: Any, teacher: Teacher, shape: MTPShape, hard_share: float
) -> Callable[[TrainingBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Mean loss over the unrolled steps; the logged `accept_j` is the share of step-j drafts equal to the target's
    greedy choice."""

    def loss_of(batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        seen = teacher.observe(batch)
        length = batch.tokens.shape[1]
        total, weights, figures = torch.zeros((), device=batch.tokens.device), 0.0, {}
        for step, normed in enumerate(unroll(model, teacher, seen, shape.steps), start=1):
            wanted = torch.zeros_like(batch.spoken)  # at p: must token p+step be predicted?
            wanted[:, 1 : length - step] = batch.spoken[:, 1 + step :]
            states = torch.roll(seen.hidden, 1 - step, dims=1)[wanted]  # the state that predicts token p+step
            wished, drafted = teacher.logits(states), normed[wanted]
            loss, right = distill(model.lm_head(drafted), wished, hard_share)
            if shape.ordered:
                loss = loss + CENTROID_WEIGHT * centroid_loss(model.masked_embedding, drafted, wished, hard_share)
            weight = shape.step_decay ** (step - 1)
            total, weights = total + weight * loss, weights + weight
            if step in (1, 2, 4):
                figures[f"accept_{step}"] = right
        return total / weights, figures

    return loss_of
