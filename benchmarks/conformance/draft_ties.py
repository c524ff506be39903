"""Rounds of two engines that part although they stand at the same place, and how near a tie their drafts were there.

A draft depends on the text before it alone, so two engines that hold the same drafter draft alike wherever both begin a
round at the same position. Their numbers differ by rounding (ggml takes gelu from a table in half precision), which
shows only where the drafter's two best tokens lie that close together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit
from drafters.base import Drafter
from harness import generate
from harness.metrics.engines import Counts
from harness.target.target import Target

#: Draft logits nearer than this to the best one may fall otherwise in llama.cpp, in standard deviations of the row.
TIE = 0.01


@dataclass(frozen=True, slots=True)
class Parted:
    """Two rounds at one place that accept otherwise: `draft` is the first draft that only one of them has right.

    `gap` is how far the harness's best logit lies above the answer's token or, where that is the best, above the
    second, in standard deviations of the row.
    """

    prompt: str
    position: int
    draft: int
    ours: Counts
    theirs: Counts
    gap: float

    @property
    def tie(self) -> bool:
        return self.gap < TIE

    def __str__(self) -> str:
        return (
            f"{self.prompt} at {self.position}: drafted, accepted, emitted {self.ours} here and {self.theirs} there; "
            f"draft {self.draft + 1} is {self.gap:.2g} standard deviations from a tie"
        )


class KeepsLogits(DraftLimit):
    """Proposes every draft and keeps the logits [k, V] of each round."""

    def __init__(self) -> None:
        self.rounds: list[list[Tensor]] = []

    def open(self) -> None:
        self.rounds.append([])

    def saw(self, slot: int, scores: Tensor) -> None:
        self.rounds[-1].append(scores[0].clone())

    def saw_block(self, scores: Tensor) -> None:
        self.rounds[-1].extend(scores[0].clone())


def parting_places(
    ours: Mapping[tuple[str, int], Counts], theirs: Mapping[tuple[str, int], Counts]
) -> list[tuple[str, int]]:
    """Prompt and position of every place where both begin a round and the rounds differ."""
    return sorted(place for place in ours.keys() & theirs.keys() if ours[place] != theirs[place])


def parted(
    target: Target,
    drafter: Drafter,
    prompts: Mapping[str, Sequence[int]],
    ours: Mapping[tuple[str, int], Counts],
    theirs: Mapping[tuple[str, int], Counts],
    **settings: Any,
) -> list[Parted]:
    """The places where rounds part, each with its gap; `drafter` drafts the harness's answers to `prompts` again.

    Rounds are counted alike (`pair.rounds_by_place`); `settings` are those of `generate`. Raises ValueError where the
    drafts come out otherwise than they were recorded.
    """
    places = parting_places(ours, theirs)
    found = []
    for prompt in dict.fromkeys(prompt for prompt, _ in places):
        ids, kept = list(prompts[prompt]), KeepsLogits()
        drafter.limit = kept  # type: ignore[attr-defined]
        with torch.inference_mode():
            made = generate(target, drafter, ids, **settings)
        rows = {one.position: rows for one, rows in zip(made.rounds, kept.rounds[: len(made.rounds)], strict=True)}
        for name, position in places:
            if name != prompt:
                continue
            mine, other = ours[name, position], theirs[name, position]
            draft = min(mine[1], other[1])
            if position not in rows or mine[0] != other[0] or mine[1] == other[1]:
                raise ValueError(f"{prompt} at {position}: {mine} here and {other} there, which no draft explains")
            wanted = made.token_ids[position - len(ids) + 1 + draft]
            found.append(Parted(prompt, position, draft, mine, other, gap_of(rows[position][draft], wanted)))
    return found


def gap_of(logits: Tensor, wanted: int) -> float:
    """How far the best of `logits` [V] lies above `wanted`, or above the second if it is that; in their spread."""
    row = logits.double()
    best = row.topk(2)
    other = best.values[1] if int(best.indices[0]) == wanted else row[wanted]
    return float((best.values[0] - other) / row[row > torch.finfo(logits.dtype).min].std())
