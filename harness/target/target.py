"""A Gemma 4 model as the verifier sees it: embed, pass, taps, head.

One `Target` serves every arm. It owns no state of a generation: a pass takes a cache and positions, writes the rows of
its tokens there and returns what a drafter may see.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drafters.base import KeyValueView, TargetPass, TargetView
from drafters.buffers import LayerBuffer
from drafters.gemma4 import position_addressed_attention, run_layers, text_model_of
from drafters.kernels.few_rows import read_for_few_rows
from drafters.kernels.pieces import run_piece
from drafters.positions import additive, positions_of_slots, visible
from drafters.sampling import soft_cap
from harness.target.cache import PositionCache, ring_slots
from harness.target.execution import choose_execution
from harness.target.experts import use_few_tokens_experts
from harness.target.files import end_token_ids
from harness.target.joined import join_projections
from harness.target.placement import placement_of, runs_on
from harness.target.tensor_parallel import all_heads, local_rows, whole_embedding

FULL, SLIDING = "full_attention", "sliding_attention"


class Target:
    """A loaded Gemma 4 model, whose modules stay as they are but for `forward` under execution=cuda_graph."""

    def __init__(self, model: Any, execution: str = "auto") -> None:
        self.model = model.eval()
        self.text_model: Any = text_model_of(model)
        self.config = self.text_model.config
        self.head = model.get_output_embeddings()
        self.softcap: float | None = self.config.final_logit_softcapping
        self.layer_types: tuple[str, ...] = tuple(self.config.layer_types)
        attention = [layer.self_attn for layer in self.text_model.layers]
        self._keeps_kv = [not module.is_kv_shared_layer for module in attention]
        self._kv_shape = [
            (kept.k_norm.weight.shape[0], local_rows(kept.k_proj.weight) // kept.k_norm.weight.shape[0])
            if keeps
            else (0, 0)
            for kept, keeps in zip(attention, self._keeps_kv, strict=True)
        ]  # (head_dim, kv_heads) of each layer that keeps its own keys and values
        self.shared_layer = {
            module.layer_type: index for index, module in enumerate(attention) if module.store_full_length_kv
        }  # the layers whose keys and values an MTP assistant reads

        self.placement = placement_of(model, self.text_model, self.head)
        embeds_layers = getattr(self.text_model, "hidden_size_per_layer_input", 0)  # unified models have no such thing
        self._per_layer_device = runs_on(self.text_model.per_layer_projection_norm) if embeds_layers else None
        self.borrowed_embed = whole_embedding(self.text_model.embed_tokens)
        self.folder: Path | None = None  # of the files that it was loaded from
        self.tokenizer: Any = None  # loaded from there when text is first asked for
        self.execution = "eager"
        self._changes = ExitStack()  # undoes what an execution changed in the modules
        self.set_execution(execution)

    def set_execution(self, name: str) -> None:
        """Run later rounds as `name` (see `choose_execution`). Raises InputError for one that this target cannot run.

        Graphs read some layers with kernels of their own; any other execution finds the modules as they were loaded.
        """
        spread = self.placement.text if self.placement.is_spread else None
        before, self.execution = self.execution, choose_execution(name, self.device, spread)
        if self.execution == before:
            return
        self._changes.close()
        if self.execution == "cuda_graph":
            join_projections(self.text_model.layers, self._changes)
            read_for_few_rows(self.model, self._changes)
            if getattr(self.config, "enable_moe_block", False):
                use_few_tokens_experts(self.text_model, self._changes)

    @property
    def device(self) -> torch.device:
        """Where passes begin and end, and where drafters are; layers may be elsewhere (`placement`)."""
        return self.placement.device

    @property
    def makes_programs_ahead(self) -> bool:
        """Whether its rounds are programs that are compiled ahead of time and kept for later runs."""
        return self.execution == "compile" and self.device.type == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        return self.text_model.embed_tokens.weight.dtype

    @property
    def window(self) -> int:
        return self.config.sliding_window

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def max_positions(self) -> int:
        return self.config.max_position_embeddings

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every id that ends an answer, as the checkpoint's generation config (else its config) names them."""
        generation = getattr(self.model, "generation_config", None)
        return end_token_ids(getattr(generation, "eos_token_id", None), self.config.eos_token_id)

    def new_cache(self, batch: int, capacity: int, max_width: int) -> PositionCache:
        """Storage for `batch` rows of up to `capacity` positions, for passes of up to `max_width` tokens."""
        ring = min(ring_slots(self.window, max_width), capacity)
        layers: list[LayerBuffer | None] = []
        places = self.placement.layers or (self.device,) * len(self.layer_types)
        described = zip(self.layer_types, self._keeps_kv, self._kv_shape, places, strict=True)
        for kind, keeps, (head_dim, heads), place in described:
            slots = ring if kind == SLIDING else capacity
            like = torch.empty(0, dtype=self.dtype, device=place)
            layers.append(LayerBuffer(batch, heads, slots, head_dim, kind == SLIDING, like) if keeps else None)
        return PositionCache(layers, capacity, max_width)

    def view(self, cache: PositionCache) -> TargetView:
        """The parts of this target and of `cache` that a drafter may read."""
        kv: dict[str, KeyValueView] = {}
        for kind, index in self.shared_layer.items():
            layer = cache.layers[index]
            assert layer is not None
            kv[kind] = layer.view()
        return TargetView(self.config, self.borrowed_embed, self.head, kv, self.device, self.dtype, self.fetch)

    def fetch(self, part: Tensor) -> Tensor:
        """A part of a layer's keys or values, all its heads, on the device that drafters are on."""
        return all_heads(part) if self.placement.processes > 1 else part.to(self.device)

    def masks(self, cache: PositionCache, positions: Tensor) -> dict[str, Tensor]:
        """Additive masks [B, 1, W, S] for a pass at `positions` [B, W], one per layer type."""
        width, newest = positions.shape[1], positions[:, -1]
        masks = {}
        for kind, index in self.shared_layer.items():
            layer = cache.layers[index]
            assert layer is not None
            slots = layer.slots if layer.ring else cache.reach
            if layer.ring and cache.is_wide(width):
                stored = positions_of_slots(positions[:, 0] - 1, slots, ring=True)
                stored = torch.cat((stored, positions), dim=1)
            else:
                stored = positions_of_slots(newest, slots, layer.ring)
            mask = visible(positions, stored, window=self.window if layer.ring else None)
            masks[kind] = additive(mask, self.dtype)
        return masks

    def entry(
        self, cache: PositionCache, tokens: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """The first layer's inputs: embeddings [B, W, H], per-layer ones [B, W, layers, P] or None, and masks."""
        embeds = self.text_model.embed_tokens(tokens)
        per_layer = None
        if self._per_layer_device is not None:
            known = self.text_model.get_per_layer_inputs(tokens, embeds).to(self._per_layer_device)
            per_layer = self.text_model.project_per_layer_inputs(embeds, known)
        return embeds, per_layer, self.masks(cache, positions)

    def run(self, cache: PositionCache, tokens: Tensor, positions: Tensor, taps: tuple[int, ...] = ()) -> TargetPass:
        """One pass over `tokens` [B, W] at `positions` [B, W]; their rows are in `cache` afterwards."""
        text = self.text_model
        with position_addressed_attention(self.config):
            embeds, per_layer, masks = run_piece(self.entry, cache, tokens, positions)
            cache.positions = positions
            hidden, tapped = run_layers(
                text,
                embeds,
                positions,
                masks,
                cache=cache,
                per_layer=per_layer,
                taps=taps,
                devices=self.placement.layers,
            )
        features = torch.cat([tapped[index].to(self.device) for index in taps], dim=-1) if taps else None
        return TargetPass(tokens, positions, hidden.to(self.device), features)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of normed hidden states [..., H], soft-capped as the model does."""
        return soft_cap(self.head(hidden), self.softcap)

    @torch.inference_mode()
    def logits_of_last(self, token_ids: list[int], count: int) -> Tensor:
        """Logits [count, V] for the token after each of the last `count` of `token_ids`, from one fresh pass."""
        cache = self.new_cache(1, len(token_ids), len(token_ids))
        tokens = torch.tensor([token_ids], device=self.device)
        positions = torch.arange(len(token_ids), device=self.device)[None]
        return self.logits(self.run(cache, tokens, positions).hidden[0, -count:])

    def teacher_forced_logits(self, token_ids: list[int]) -> Tensor:
        """Logits [V] for the token after `token_ids`, from one fresh pass."""
        return self.logits_of_last(token_ids, 1)[0]
