"""The block-diffusion drafter: all k tokens from one pass over a masked block.

The block is the anchor and k masks at positions p to p+k; slot i gives the token at its own position. Features of
verified tokens become context keys and values once, when they are observed, and stay; the block's own keys and values
share that storage for the length of a pass and are overwritten when its positions are verified
(https://arxiv.org/abs/2602.06036).
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from drafters.base import Proposal, Sampling, TargetPass, TargetView
from drafters.dflash_model import DFlashModel, Join
from drafters.errors import InputError
from drafters.positions import additive, positions_of_slots, slots_of, visible
from drafters.sampling import draw, token_probs

log = logging.getLogger(__name__)


class ContextBuffer:
    """One layer's context keys and values [B, Hkv, S, D]: a ring in sliding layers, the whole run in full ones."""

    def __init__(self, batch: int, heads: int, slots: int, head_dim: int, ring: bool, like: Tensor) -> None:
        self.keys = torch.zeros(batch, heads, slots, head_dim, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.ring = ring

    def write(self, keys: Tensor, values: Tensor, positions: Tensor, row: int | None = None) -> None:
        """Store rows [B, Hkv, W, D] at `positions` [B, W], in all rows or in `row` alone."""
        size = self.keys.shape[2]
        if keys.shape[2] > size:  # a long prefill chunk: only its tail can be seen again
            keys, values, positions = keys[:, :, -size:], values[:, :, -size:], positions[:, -size:]
        stored = (self.keys, self.values) if row is None else (self.keys[row : row + 1], self.values[row : row + 1])
        index = slots_of(positions, size, self.ring)[:, None, :, None].expand_as(keys)
        for buffer, new in zip(stored, (keys, values), strict=True):
            buffer.scatter_(2, index, new)


class DFlashDrafter:
    """Drafts any k up to `block_size - 1` in one pass.

    `in_block` overrides which block slots see each other: "layer_types" (causal on sliding layers, as vLLM, SGLang and
    z-lab's package run them), "bidirectional" or "causal"; None takes the checkpoint's word.
    `input_embedding_scale` overrides the factor on the target's raw embedding rows.
    """

    name = "dflash"

    def __init__(
        self,
        model: DFlashModel,
        *,
        in_block: str | None = None,
        input_embedding_scale: float | None = None,
        sample: bool = True,
    ) -> None:
        causal = {None: model.config.is_causal, "layer_types": None, "bidirectional": False, "causal": True}
        if in_block not in causal:
            raise InputError(
                f"drafters.dflash.in_block is {in_block!r}, expected layer_types, bidirectional, causal or null"
            )
        self.model = model.eval()
        self.config = model.config
        self.is_causal = causal[in_block]
        self.taps = self.config.target_layer_ids
        self.max_draft_tokens = self.config.block_size - 1
        self.sample = sample
        self.scale, self.scale_reason = self._embedding_scale(input_embedding_scale)
        log.info("DFlash noise embeddings are the target's raw rows times %.6g (%s)", self.scale, self.scale_reason)

    def _embedding_scale(self, override: float | None) -> tuple[float, str]:
        if override is not None:
            return float(override), "drafters.dflash.input_embedding_scale"
        if self.config.input_embedding_scale is not None:
            return self.config.input_embedding_scale, "the checkpoint's input_embedding_scale"
        return self.config.hidden_size**0.5, "sqrt(hidden_size), as Gemma scales; the checkpoint does not say"

    def _causal(self, layer: int) -> bool:
        if self.is_causal is None:
            return self.config.layer_types[layer] == "sliding_attention"
        return self.is_causal

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        self.target, self.k, self.sampling, self.noise = target, k, sampling, noise
        config = self.config
        like = self.model.fc.weight
        self.buffers = []
        for layer in range(config.num_hidden_layers):
            window = config.window(layer)
            ring = window is not None and window + k + 2 < capacity
            slots = window + k + 2 if ring and window is not None else capacity
            self.buffers.append(
                ContextBuffer(batch_size, config.num_key_value_heads, slots, config.head_dim, ring, like)
            )
        self.offsets = torch.arange(k + 1, device=target.device)
        self.block = torch.full((batch_size, k + 1), config.mask_token_id, dtype=torch.long, device=target.device)

    def _take_in(self, seen: TargetPass, row: int | None) -> None:
        assert seen.taps is not None
        context = self.model.context_features(seen.taps.to(self.model.fc.weight.dtype))  # [B, W, H]
        rows = self.model.context_keys_values(context, seen.positions)
        for buffer, (keys, values) in zip(self.buffers, rows, strict=True):
            buffer.write(keys, values, seen.positions, row)

    def start(self, prefill: TargetPass, row: int) -> None:
        self._take_in(prefill, row)

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        # All k+1 rows are stored, at fixed shape; rejected ones stand at or after the new anchor and are masked there.
        self._take_in(verified, None)

    def _joins_and_masks(self, position: Tensor, positions: Tensor) -> tuple[list[Join], list[Tensor]]:
        newest = position + self.k
        joins: list[Join] = []
        masks: dict[tuple[bool, int | None, int], Tensor] = {}
        per_layer = []

        def join(buffer: ContextBuffer) -> Join:
            def write(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
                buffer.write(keys, values, positions)
                return buffer.keys, buffer.values

            return write

        for layer, buffer in enumerate(self.buffers):
            causal, window, size = self._causal(layer), self.config.window(layer), buffer.keys.shape[2]
            key = (causal, window, size)
            if key not in masks:
                stored = positions_of_slots(newest, size, buffer.ring)
                mask = visible(positions, stored, horizon=None if causal else newest, window=window)
                masks[key] = additive(mask, buffer.keys.dtype)
            joins.append(join(buffer))
            per_layer.append(masks[key])
        return joins, per_layer

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.target.head(hidden.to(self.target.dtype)) * self.config.output_multiplier
        cap = self.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.block[:, 0] = anchor
        positions = position[:, None] + self.offsets  # [B, k+1]
        rows = torch.nn.functional.embedding(self.block, self.target.embed.weight)  # raw, unscaled [B, k+1, H]
        x = rows.to(self.model.fc.weight.dtype) * self.scale
        hidden = self.model.denoise(x, positions, *self._joins_and_masks(position, positions))
        logits = self._logits(hidden[:, 1:])  # [B, k, V]
        if self.sample and self.sampling.temperature > 0:
            q = token_probs(logits, self.sampling)
            return Proposal(draw(q, self.noise.gather(1, positions[:, 1:])), q)
        return Proposal(logits.argmax(dim=-1))
