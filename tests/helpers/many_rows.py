"""One prompt decoded in tens of thousands of rows at once, each with its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from drafters.base import TargetPass
from drafters.sampling import draw, token_probs
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.decoding.loop import loop
from harness.target.target import Target


class Copies(Decoder):
    """Reads the prompt into row 0 and copies what came of it to all other rows; from there on it is a plain decoder.

    Their noise is one seeded draw instead of a table per row, which would take longer than the decoding.
    """

    first: list[int]

    def prefill(self, row: int, prompt: Sequence[int], seed: int) -> tuple[int, list[TargetPass]]:
        if row == 0:
            self.length = len(prompt)
            return super().prefill(row, prompt, seed)
        if row == 1:
            self._copy()
        return self.first[row], []

    def _copy(self) -> None:
        buffers = [buffer for layer in self.cache.layers if layer for buffer in (layer.keys, layer.values)]
        for buffer in [*buffers, *state_of(self.drafter)]:
            buffer[1:] = buffer[:1]
        generator = torch.Generator().manual_seed(self.batch_size)
        self.noise[1:] = torch.rand(self.noise[1:].shape, generator=generator, dtype=torch.float64)
        self.draft_noise[1:] = torch.rand(self.draft_noise[1:].shape, generator=generator, dtype=torch.float64)
        self.position[:] = self.length
        hidden = self.prompt_pass.hidden[:, -1]
        p = token_probs(self.target.logits(hidden), self.settings.sampling).expand(self.batch_size, -1)
        self.anchor[1:] = draw(p, self.noise[:, self.length, 1])[1:]
        self.first = self.anchor.tolist()

    @property
    def prompt_pass(self) -> TargetPass:
        cache = self.target.new_cache(1, self.capacity, 1)
        return self.target.run(cache, self.prompt, torch.arange(self.length)[None])

    prompt: Tensor


def state_of(drafter: Any) -> list[Tensor]:
    """What a drafter keeps per row: MTP's hidden state and newest row, DFlash's context."""
    if drafter is None:
        return []
    if drafter.name == "mtp":
        return [drafter.hidden, drafter.newest]
    return [buffer for layer in drafter.buffers for buffer in (layer.keys, layer.values)]


def answers(
    target: Target, drafter: Any, prompt: list[int], rows: int, settings: DecodeSettings
) -> tuple[Tensor, float]:
    """Tokens [rows, max_new_tokens], and the share of drafts that were accepted."""
    decoder = Copies(target, drafter, settings, rows, 16)
    decoder.prompt = torch.tensor([prompt])
    found = loop(decoder, [prompt] * rows, 0, settings)
    rounds = [r for generation in found for r in generation.rounds]
    share = sum(r.accepted for r in rounds) / max(1, sum(r.drafted for r in rounds))
    return torch.tensor([generation.token_ids for generation in found]), share
