"""Drafts of varying length: as long as past rounds were good, or as long as the drafter is sure.

A trained drafter asks its `DraftLimit` how many of its k tokens to propose, row by row; k stays the maximum and all
shapes stay as they are. The decision on token i never looks at token i itself: only at past rounds, and at the
distribution from which it will be drawn. That keeps rejection sampling exact; a rule that drops a token because its own
probability turned out low does not (https://arxiv.org/abs/2607.05147, appendix A), and so `p_min`, llama.cpp's rule, is
for greedy decoding only.

The verify pass stays as wide as ever, so a block drafter saves nothing but rejected drafts. A chained drafter skips the
passes that no row needs any more, but only where rounds run eagerly; a compiled or captured round always runs all k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from drafters.base import Proposal, Sampling
from drafters.errors import InputError

MEASURES = ("max_prob", "entropy", "p_min", "head")
TOP = 10  # llama.cpp judges by the best ten tokens alone


@dataclass(frozen=True)
class Stop:
    """Ends a draft before the first token of which the drafter is not sure.

    `max_prob`: the best token has at least `threshold`. `entropy`: at most `threshold` nats. `head`: the checkpoint's
    confidence head gives at least `threshold`. `p_min`: the drafted token has at least `threshold` of the mass of the
    ten best; greedy decoding only.
    """

    measure: str
    threshold: float

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise InputError(f"stop is {self.measure!r}, expected one of {', '.join(MEASURES)}")
        top = float("inf") if self.measure == "entropy" else 1.0
        if not 0.0 <= self.threshold <= top or math.isinf(self.threshold):
            raise InputError(f"stop_threshold is {self.threshold}, expected 0 to {top:g} for stop={self.measure}")

    def check(self, sampling: Sampling) -> None:
        if self.measure == "p_min" and sampling.temperature > 0:
            raise InputError(
                f"stop is 'p_min' and decoding.temperature is {sampling.temperature}: that rule looks at the drafted "
                "token and would change the output; use stop=max_prob, or temperature 0"
            )

    def keeps(self, q: Tensor) -> Tensor:
        """True [...] where a token that will be drawn from `q` [..., V] is submitted."""
        if self.measure == "entropy":
            return torch.special.entr(q.float()).sum(dim=-1) <= self.threshold
        best = q.float().topk(min(TOP, q.shape[-1]), dim=-1).values
        sure = best[..., 0] / best.sum(dim=-1) if self.measure == "p_min" else best[..., 0]
        return sure >= self.threshold


@dataclass(frozen=True)
class History:
    """Two tokens more after a round that accepted all, one less after any other (transformers' heuristic schedule).

    Each row of a batch has its own length, which starts over with each prompt.
    """

    start: int | None = None  # None: k
    up: int = 2
    down: int = 1

    def __post_init__(self) -> None:
        whole = isinstance(self.start, int) and not isinstance(self.start, bool)
        if self.start is not None and not (whole and self.start >= 1):
            raise InputError(f"adapt_start is {self.start}, expected at least 1")

    def next(self, limit: Tensor, proposed: Tensor, accepted: Tensor, k: int) -> Tensor:
        """The limits [B] for the next round, from the proposed and accepted counts [B] of this one.

        A row that proposed nothing keeps its limit.
        """
        moved = torch.where(accepted >= proposed, limit + self.up, limit - self.down)
        return torch.where(proposed > 0, moved, limit).clamp(1, k)


class DraftLimit:
    """Proposes every draft. The drafter calls it in the order of the methods here."""

    #: Whether it reads the confidence head, which is not worth computing otherwise.
    reads_confidence = False

    def begin(self, batch_size: int, k: int, sampling: Sampling, device: torch.device, *, drawn: bool) -> None:
        """Reset for `batch_size` rows of k drafts; `drawn` where drafts are sampled and not the best tokens."""

    def start(self, row: int) -> None:
        """Row `row` holds a new prompt."""

    def open(self) -> None:
        """A round starts."""

    def saw(self, slot: int, scores: Tensor) -> None:
        """The slot's distribution: q [B, V] where drafts are drawn, logits [B, V] where they are the best tokens."""

    def saw_block(self, scores: Tensor) -> None:
        """The same for all slots at once, [B, k, V]."""

    def saw_confidence(self, log_odds: Tensor) -> None:
        """The confidence head's log-odds [B, k] that each draft is accepted."""

    def enough(self, slot: int) -> bool:
        """True if no row wants a token after `slot`."""
        return False

    def close(self, proposal: Proposal) -> Proposal:
        """The round's proposal with the count of drafts that are submitted."""
        return proposal

    def observe(self, accepted: Tensor) -> None:
        """The verifier kept `accepted` [B] drafts."""


class AdaptiveLimit(DraftLimit):
    """Proposes as many drafts per row as `stop` and `history` allow; either may be None."""

    def __init__(self, stop: Stop | None = None, history: History | None = None) -> None:
        self.stop, self.history = stop, history
        self.reads_confidence = stop is not None and stop.measure == "head"

    def begin(self, batch_size: int, k: int, sampling: Sampling, device: torch.device, *, drawn: bool) -> None:
        """Raises InputError for a rule that would change the output of sampled decoding."""
        if self.stop is not None:
            self.stop.check(sampling)
        self.k, self.drawn = k, drawn
        self.first = k if self.history is None or self.history.start is None else min(self.history.start, k)
        self.limit = torch.full((batch_size,), self.first, dtype=torch.long, device=device)
        self.proposed = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.kept = torch.ones(batch_size, k, dtype=torch.bool, device=device)

    def start(self, row: int) -> None:
        self.limit[row] = self.first

    def open(self) -> None:
        self.kept.copy_(torch.arange(self.k, device=self.limit.device) < self.limit[:, None])

    def saw(self, slot: int, scores: Tensor) -> None:
        if self.stop is not None and not self.reads_confidence:
            q = scores if self.drawn else scores.float().softmax(dim=-1)
            self.kept[:, slot] &= self.stop.keeps(q)

    def saw_block(self, scores: Tensor) -> None:
        for slot in range(self.k):
            self.saw(slot, scores[:, slot])

    def saw_confidence(self, log_odds: Tensor) -> None:
        if self.stop is not None:
            self.kept &= log_odds.sigmoid() >= self.stop.threshold

    def enough(self, slot: int) -> bool:
        """Costs a synchronisation, so that only eager rounds ask; a compiled or captured one runs all k."""
        if slot + 1 >= self.k or torch.compiler.is_compiling() or is_captured():
            return False
        return not bool(self.kept[:, : slot + 2].all(dim=1).any())

    def close(self, proposal: Proposal) -> Proposal:
        count = self.kept.long().cumprod(dim=1).sum(dim=1)
        self.proposed.copy_(count)
        return replace(proposal, count=count)

    def observe(self, accepted: Tensor) -> None:
        if self.history is not None:
            self.limit.copy_(self.history.next(self.limit, self.proposed, accepted, self.k))


def is_captured() -> bool:
    """True while a CUDA graph is being captured."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def check_head(limit: DraftLimit, name: str, *, has_head: bool) -> None:
    """Raises InputError where `limit` reads a confidence head that the checkpoint of drafter `name` lacks."""
    if limit.reads_confidence and not has_head:
        raise InputError(
            f"drafters.{name}.stop is 'head', but this checkpoint has no confidence head; use max_prob or entropy"
        )


#: Options of every trained drafter, read here.
OPTIONS = ("stop", "stop_threshold", "adapt", "adapt_start")


def take_options(options: Mapping[str, Any], key: str) -> tuple[AdaptiveLimit | None, dict[str, Any]]:
    """The limit that `options` ask for, None for none, and the options that are the drafter's own.

    Raises InputError for options that contradict each other.
    """
    stop, history = read_options({name: options[name] for name in OPTIONS if name in options}, key)
    limit = AdaptiveLimit(stop, history) if stop or history else None
    return limit, {name: value for name, value in options.items() if name not in OPTIONS}


def read_options(
    options: Mapping[str, Any], key: str, sampling: Sampling | None = None
) -> tuple[Stop | None, History | None]:
    """The rules that the options of `key` ask for.

    Raises InputError where they contradict each other, or `sampling` where that is given.
    """
    try:
        stop, history = _stop(options), _history(options)
        if stop is not None and sampling is not None:
            stop.check(sampling)
    except InputError as error:
        raise InputError(f"{key}.{error}") from error
    return stop, history


def _stop(options: Mapping[str, Any]) -> Stop | None:
    measure, threshold = options.get("stop"), options.get("stop_threshold")
    if measure is None:
        if threshold is not None:
            raise InputError(f"stop_threshold is {threshold}, but stop is not set (one of {', '.join(MEASURES)})")
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise InputError(f"stop_threshold is {threshold!r}, expected a number beside stop={measure}")
    return Stop(measure, float(threshold))


def _history(options: Mapping[str, Any]) -> History | None:
    kind, start = options.get("adapt"), options.get("adapt_start")
    if kind is None:
        if start is not None:
            raise InputError(f"adapt_start is {start}, but adapt is not set ('history')")
        return None
    if kind != "history":
        raise InputError(f"adapt is {kind!r}, expected 'history' or null")
    return History(start)
