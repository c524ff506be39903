"""The DFlash drafter's recipe: many random anchors per answer, each with its own masked block, in one pass.

A block stands at positions p..p+b-1 with the anchor's token first and masks after it; slot i learns the target's choice
of the token at p+i. Its queries see the target's features of positions before p, and their own block: sliding layers
causally and within the window, full layers both ways. Blocks are cut short at random, because a round that drafts k
tokens uses only k+1 slots. Later slots weigh less: an error at slot i hides all later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import DFlashModel
from drafters.errors import InputError
from harness.training.data import TrainingBatch
from harness.training.distill import distill
from harness.training.teacher import Teacher, softcap


@dataclass
class DFlashShape:
    """The drafter's sizes; the hidden size is the target's."""

    intermediate_size: int = 512
    pattern: str = "FF"
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    sliding_window: int = 128
    block_size: int = 16
    taps: tuple[int, ...] = ()  # empty: spread over the target by the published rule
    num_taps: int = 4
    anchors: int = 8  # blocks per answer and step
    gamma: float = 7.0  # slot i weighs exp(-(i - 1) / gamma)
    input_embedding_scale: float = 1.0

    def __post_init__(self) -> None:
        if set(self.pattern) - set("SF") or not self.pattern:
            raise InputError(f"dflash.pattern is {self.pattern!r}: expected letters S and F")
        if self.block_size < 2:
            raise InputError(f"dflash.block_size is {self.block_size}: expected at least 2")
        if self.anchors < 1:
            raise InputError(f"dflash.anchors is {self.anchors}: expected at least 1")


def spread_taps(layers: int, count: int) -> tuple[int, ...]:
    """`count` tapped layers between the second and the third-last, evenly: the published checkpoints' rule."""
    if count == 1:
        return (layers // 2,)
    return tuple(dict.fromkeys(round(1 + i * (layers - 4) / (count - 1)) for i in range(count)))


def dflash_config(target: Any, shape: DFlashShape, mask_token_id: int) -> DFlashConfig:
    """The drafter's config for a target's text config."""
    taps = tuple(shape.taps) or spread_taps(target.num_hidden_layers, shape.num_taps)
    if max(taps) >= target.num_hidden_layers - 1 or min(taps) < 0:
        raise InputError(f"dflash.taps is {taps}: expected layers 0 to {target.num_hidden_layers - 2}")
    return DFlashConfig(
        hidden_size=target.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=len(shape.pattern), num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim, vocab_size=target.vocab_size, block_size=shape.block_size,
        mask_token_id=mask_token_id, target_layer_ids=taps,
        layer_types=tuple("sliding_attention" if c == "S" else "full_attention" for c in shape.pattern),
        sliding_window=shape.sliding_window, num_target_layers=target.num_hidden_layers,
        max_position_embeddings=target.max_position_embeddings,
        input_embedding_scale=shape.input_embedding_scale,
        final_logit_softcapping=target.final_logit_softcapping,
    )  # fmt: skip


def build_dflash(config: DFlashConfig, teacher: Teacher, seed: int) -> DFlashModel:
    """A drafter with fresh weights.

    Its last norm starts as a fraction of the one that the borrowed head expects: at full size random states would
    give logits as confident as they are wrong. Key norms stay at one: the query norms carry the scale of the scores,
    and an engine that uses one key norm for the context of all layers then computes the same drafts.
    """
    torch.manual_seed(seed)
    model = DFlashModel(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.02 if "proj" in name else parameter.shape[1] ** -0.5)
    with torch.no_grad():
        model.get_parameter("norm.weight").copy_(0.3 * teacher.text.norm.weight)
    for name, parameter in model.named_parameters():
        if name.endswith("k_norm.weight"):
            parameter.requires_grad_(False).fill_(1.0)
    return model


def draw_anchors(spoken: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Positions [B, M] of `count` anchors per row before spoken tokens, and which of them are real, [B, M] bool."""
    possible = torch.zeros_like(spoken)
    possible[:, 1:-1] = spoken[:, 2:]  # never position 0: a block needs context
    score = torch.rand(spoken.shape, device=spoken.device).masked_fill(~possible, -1.0)
    best = score.topk(min(count, spoken.shape[1]), dim=1)
    return best.indices, best.values >= 0


def block_masks(config: DFlashConfig, anchors: Tensor, lengths: Tensor, context: int) -> dict[str, Tensor]:
    """Boolean masks [B, 1, M*b, context + M*b] per layer type, for blocks at `anchors` [B, M] of `lengths` [B, M]."""
    batch, count = anchors.shape
    size = config.block_size
    slot = torch.arange(size, device=anchors.device)
    position = (anchors[..., None] + slot).view(batch, -1)  # [B, L]
    inside = (slot < lengths[..., None]).view(batch, -1)  # [B, L]: slots that exist
    owner = torch.arange(count, device=anchors.device).repeat_interleave(size)  # [L]
    anchor = anchors.repeat_interleave(size, dim=1)  # [B, L]
    row = torch.arange(context, device=anchors.device)
    before = row < anchor[..., None]  # [B, L, S]
    own = (owner[:, None] == owner[None]) & inside[:, None, :]  # [B, L, L]
    own = own | torch.eye(count * size, dtype=torch.bool, device=anchors.device)  # a cut slot sees itself, harmlessly
    masks = {}
    for layer, kind in enumerate(config.layer_types):
        block, far = own, before
        window = config.window(layer)
        if config.causal(layer):
            block = block & (slot.repeat(count)[:, None] >= slot.repeat(count)[None])
        if window is not None:
            far = far & (position[..., None] - row < window)
            block = block & ((position[..., None] - position[:, None]).abs() < window)
        masks[kind] = torch.cat((far, block), dim=-1)[:, None]
    return masks


def dflash_loss(
    model: DFlashModel, teacher: Teacher, shape: DFlashShape, hard_share: float
) -> Callable[[TrainingBatch], tuple[Tensor, dict[str, Tensor]]]:
    """Position-weighted loss over all blocks; logged `accept_i` is the share of slots i with the target's choice."""
    config = model.config
    size = config.block_size
    scale = float(config.input_embedding_scale or 1.0) / float(teacher.text.embed_tokens.embed_scale)

    def loss_of(batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        seen = teacher.observe(batch, config.target_layer_ids)
        assert seen.taps is not None
        rows, length = batch.tokens.shape
        device = batch.tokens.device
        anchors, real = draw_anchors(batch.spoken, shape.anchors)  # [B, M]
        short = torch.rand(anchors.shape, device=device) < 0.5
        lengths = torch.where(short, torch.randint(2, size + 1, anchors.shape, device=device), size)
        slot = torch.arange(size, device=device)
        position = anchors[..., None] + slot  # [B, M, b]
        tokens = torch.full_like(position, config.mask_token_id)
        tokens[..., 0] = batch.tokens.gather(1, anchors)
        x = teacher.text.embed_tokens(tokens.view(rows, -1)) * scale  # [B, M*b, H]
        context = model.context_features(seen.taps)
        where = torch.arange(length, device=device)[None].expand(rows, -1)
        kv = [model.project_context(i, context, where) for i in range(config.num_hidden_layers)]
        hidden = model.forward_block(
            x, position.view(rows, -1), kv, block_masks(config, anchors, lengths, length)
        ).view(rows, -1, size, config.hidden_size)  # [B, M, b, H]
        inside = position.clamp(max=length - 1)
        spoken = batch.spoken.gather(1, inside.view(rows, -1)).view_as(inside) & (position < length)
        wanted = spoken & real[..., None] & (slot > 0) & (slot < lengths[..., None])  # [B, M, b]
        index = (inside - 1).clamp(min=0).view(rows, -1, 1).expand(-1, -1, seen.hidden.shape[-1])
        states = seen.hidden.gather(1, index).view(*inside.shape, -1)[wanted]  # row p+i-1 predicts token p+i
        weight = torch.exp(-(slot - 1) / shape.gamma).expand_as(wanted)[wanted]
        draft = softcap(teacher.head(hidden[wanted]), config.final_logit_softcapping)
        target = teacher.logits(states)
        loss, _ = distill(draft, target, hard_share, weight)
        equal = (draft.argmax(-1) == target.argmax(-1)).float()
        at = slot.expand_as(wanted)[wanted]
        figures = {f"accept_{i}": equal[at == i].mean().detach() for i in (1, 2, 4, 8) if i < size and (at == i).any()}
        return loss, figures

    return loss_of
