"""The block-diffusion drafter: all k tokens from one pass over a masked block.

The block is the anchor and k masks at positions p to p+k; slot i gives the token at its own position. In layouts whose
slots give the next token, the anchor's slot drafts too and one mask less is needed. Features of verified tokens become
context keys and values once, when they are observed, and stay; the block's own keys and values share that storage for
the length of a pass and are overwritten when its positions are verified (https://arxiv.org/abs/2602.06036).
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit, check_head
from drafters.base import Proposal, Sampling, TargetPass, TargetView
from drafters.buffers import LayerBuffer
from drafters.dflash.choose import choose
from drafters.dflash.model import BlockModel, Join
from drafters.errors import InputError
from drafters.kernels.pieces import run_piece
from drafters.positions import additive, positions_of_slots, visible

log = logging.getLogger(__name__)


class DFlashDrafter:
    """Drafts any k up to the checkpoint's block in one pass, for every layout of `drafters.layouts`.

    `in_block` overrides which block slots see each other: "layer_types" (causal on sliding layers, as vLLM, SGLang and
    z-lab's package run them), "bidirectional" or "causal"; None takes the checkpoint's word.
    `input_embedding_scale` overrides the factor on the target's raw embedding rows. `sample` draws drafts from the
    drafter's distribution when decoding samples. `limit` decides how many of the k are proposed; None proposes all.
    Raises InputError for an unknown `in_block`, a scale that is no number, or a limit that this checkpoint cannot have.
    """

    name = "dflash"

    def __init__(
        self,
        model: BlockModel,
        *,
        in_block: str | None = None,
        input_embedding_scale: float | None = None,
        sample: bool = True,
        limit: DraftLimit | None = None,
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
        self.max_draft_tokens = self.config.max_draft_tokens
        self.first_slot = 0 if self.config.predicts_next else 1  # the first slot that drafts
        self.sample = sample
        self.reach = 0
        self.serving: object = None
        self.limit = limit or DraftLimit()
        check_head(self.limit, self.name, has_head=model.confidence_head is not None)
        self.scale, self.scale_reason = self._embedding_scale(input_embedding_scale)
        log.info("DFlash noise embeddings are the target's raw rows times %.6g (%s)", self.scale, self.scale_reason)

    def _embedding_scale(self, override: float | None) -> tuple[float, str]:
        if override is not None:
            if isinstance(override, bool) or not isinstance(override, int | float) or not math.isfinite(override):
                raise InputError(f"drafters.dflash.input_embedding_scale is {override}, expected a number or null")
            return float(override), "drafters.dflash.input_embedding_scale"
        if self.config.input_embedding_scale is not None:
            return self.config.input_embedding_scale, f"as the checkpoint says, layout {self.config.layout}"
        return self.config.hidden_size**0.5, "sqrt(hidden_size), as Gemma scales; the checkpoint does not say"

    @property
    def conventions(self) -> dict[str, Any]:
        """Its options as they are in force, for a comparison with other engines."""
        in_block = {None: "layer_types", True: "causal", False: "bidirectional"}[self.is_causal]
        return {"in_block": in_block, "input_embedding_scale": self.scale}

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
                LayerBuffer(batch_size, config.num_key_value_heads, slots, config.head_dim, ring, like)
            )
        self.offsets = torch.arange(k + self.first_slot, device=target.device)
        shape = (batch_size, k + self.first_slot)
        self.block = torch.full(shape, config.mask_token_id, dtype=torch.long, device=target.device)
        self.limit.begin(batch_size, k, sampling, target.device, drawn=self.sample and sampling.temperature > 0)

    def _take_in(self, seen: TargetPass, row: int | None) -> None:
        assert seen.taps is not None
        context = self.model.context_features(seen.taps.to(self.model.fc.weight.dtype))  # [B, W, H]
        rows = self.model.context_keys_values(context, seen.positions)
        for buffer, (keys, values) in zip(self.buffers, rows, strict=True):
            (buffer if row is None else buffer.row(row)).write(keys, values, seen.positions)

    def start(self, prefill: TargetPass, row: int) -> None:
        self.limit.start(row)
        self._take_in(prefill, row)

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        self.limit.observe(accepted)
        # All k+1 rows are stored, at fixed shape; rejected ones stand at or after the new anchor and are masked there.
        run_piece(self._take_in, verified, None)

    def _slots(self, buffer: LayerBuffer) -> int:
        return buffer.slots if buffer.ring else self.reach

    def _joins_and_masks(self, position: Tensor, positions: Tensor) -> tuple[list[Join], list[Tensor]]:
        newest = positions[:, -1]
        joins: list[Join] = []
        masks: dict[tuple[bool, int | None, int], Tensor] = {}
        per_layer = []

        def join(buffer: LayerBuffer) -> Join:
            def write(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
                buffer.write(keys, values, positions)
                size = self._slots(buffer)
                return buffer.keys[:, :, :size], buffer.values[:, :, :size]

            return write

        for layer, buffer in enumerate(self.buffers):
            causal, window, size = self._causal(layer), self.config.window(layer), self._slots(buffer)
            key = (causal, window, size)
            if key not in masks:
                stored = positions_of_slots(newest, size, buffer.ring)
                reach = None if self.config.anchored_window else window
                mask = visible(positions, stored, horizon=None if causal else newest, window=reach)
                if window is not None and reach is None:
                    mask = mask & (stored[:, None, None] >= (position - window)[:, None, None, None])
                masks[key] = additive(mask, buffer.keys.dtype)
            joins.append(join(buffer))
            per_layer.append(masks[key])
        return joins, per_layer

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.limit.open()
        proposal: Proposal = run_piece(self._draft, anchor, position)
        return self.limit.close(proposal)

    def _draft(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.block[:, 0] = anchor
        positions = position[:, None] + self.offsets  # [B, L], L = k+1 or k
        x = self.model.embed(self.block, self.target.embed.weight, self.scale)  # from raw, unscaled rows [B, L, H]
        hidden = self.model.denoise(x, positions, *self._joins_and_masks(position, positions))
        hidden = hidden[:, self.first_slot :]  # [B, k, H]
        logits = self.model.logits(hidden, self.target.head, self.target.dtype)  # [B, k, V]
        drawn = positions[:, self.first_slot :] + 1 - self.first_slot  # where the drafted tokens will stand
        sampling = self.sampling if self.sample and self.sampling.temperature > 0 else None
        return choose(self.model, hidden, logits, anchor, self.noise.gather(1, drawn), sampling, self.limit)
