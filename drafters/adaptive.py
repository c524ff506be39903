"""Drafts of varying length: as long as past rounds were good, or as long as the drafter is sure.

`AdaptiveDrafter` wraps a trained drafter and limits how many of its k tokens are proposed, row by row; k stays the
maximum and all shapes stay what they are. What decides whether token i is submitted never looks at token i itself:
only at past rounds, and at the distribution it is to be drawn from. That keeps rejection sampling exact; a rule that
drops a token because its own probability turned out low does not (https://arxiv.org/abs/2607.05147, appendix A), and
so `p_min`, llama.cpp's rule, is for greedy decoding only.

What is saved: the verify pass is as wide as ever, so a block drafter saves nothing but rejected drafts. A chained
drafter skips the passes that no row needs any more, but only where rounds run eagerly; a compiled or captured round
always runs all k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from drafters.base import Proposal, Sampling, TargetPass, TargetView
from drafters.errors import InputError

MEASURES = ("max_prob", "entropy", "p_min", "head")
TOP = 10  # llama.cpp judges by the best ten tokens alone


@dataclass(frozen=True)
class Stop:
    """End a draft before the first token that the drafter is not sure of.

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
        """Whether a token drawn from `q` [..., V] is submitted [...], told without drawing it."""
        if self.measure == "entropy":
            return torch.special.entr(q.float()).sum(dim=-1) <= self.threshold
        best = q.float().topk(min(TOP, q.shape[-1]), dim=-1).values
        sure = best[..., 0] / best.sum(dim=-1) if self.measure == "p_min" else best[..., 0]
        return sure >= self.threshold


@dataclass(frozen=True)
class History:
    """Two tokens more after a round that accepted all, one less after any other (transformers' heuristic schedule).

    Each row of a batch has its own length, which begins anew with its prompt.
    """

    start: int | None = None  # None: k
    up: int = 2
    down: int = 1

    def __post_init__(self) -> None:
        whole = isinstance(self.start, int) and not isinstance(self.start, bool)
        if self.start is not None and not (whole and self.start >= 1):
            raise InputError(f"adapt_start is {self.start}, expected at least 1")

    def next(self, limit: Tensor, proposed: Tensor, accepted: Tensor, k: int) -> Tensor:
        """The limits [B] for the next round. Where nothing was proposed there is nothing to learn from."""
        moved = torch.where(accepted >= proposed, limit + self.up, limit - self.down)
        return torch.where(proposed > 0, moved, limit).clamp(1, k)


class AdaptiveDrafter:
    """`inner` with a limit on what it proposes. `inner` must show its distributions to a `watch`."""

    def __init__(self, inner: Any, stop: Stop | None = None, history: History | None = None) -> None:
        if stop is not None and stop.measure == "head" and not has_confidence(inner):
            raise InputError("stop is 'head', but this checkpoint has no confidence head; use max_prob or entropy")
        self.inner, self.stop, self.history = inner, stop, history
        inner.watch = self

    def __getattr__(self, name: str) -> Any:
        """Everything else is the wrapped drafter's: its name, taps, limits and state."""
        return getattr(self.__dict__["inner"], name)

    @property
    def reach(self) -> int:
        return self.inner.reach

    @reach.setter
    def reach(self, value: int) -> None:
        self.inner.reach = value

    @property
    def serving(self) -> object:
        return self.inner.serving

    @serving.setter
    def serving(self, value: object) -> None:
        self.inner.serving = value

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        if self.stop is not None:
            self.stop.check(sampling)
        self.k, self.sampled = k, self.inner.sample and sampling.temperature > 0
        first = k if self.history is None or self.history.start is None else min(self.history.start, k)
        self.first = first
        self.limit = torch.full((batch_size,), first, dtype=torch.long, device=target.device)
        self.proposed = torch.zeros(batch_size, dtype=torch.long, device=target.device)
        self.kept = torch.ones(batch_size, k, dtype=torch.bool, device=target.device)
        self.inner.begin(target, batch_size, capacity, k, sampling, noise)

    def start(self, prefill: TargetPass, row: int) -> None:
        self.limit[row] = self.first
        self.inner.start(prefill, row)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.kept.copy_(torch.arange(self.k, device=self.limit.device) < self.limit[:, None])
        proposal: Proposal = self.inner.propose(anchor, position)
        count = self.kept.long().cumprod(dim=1).sum(dim=1)
        self.proposed.copy_(count)
        return replace(proposal, count=count)

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        if self.history is not None:
            self.limit.copy_(self.history.next(self.limit, self.proposed, accepted, self.k))
        self.inner.observe(verified, accepted)

    # -- what the inner drafter tells while it drafts ------------------------------------------------------------------

    def saw(self, slot: int, scores: Tensor) -> None:
        """Slot's distribution: q [B, V] when drafts are drawn, logits when they are the best tokens."""
        if self.stop is not None and self.stop.measure != "head":
            q = scores if self.sampled else scores.float().softmax(dim=-1)
            self.kept[:, slot] &= self.stop.keeps(q)

    def saw_confidence(self, log_odds: Tensor) -> None:
        """A confidence head's word on all slots [B, k]."""
        if self.stop is not None and self.stop.measure == "head":
            self.kept &= log_odds.sigmoid() >= self.stop.threshold

    def enough(self, slot: int) -> bool:
        """Whether no row wants a token after `slot`. Asking costs a synchronisation, so only eager rounds are told."""
        if slot + 1 >= self.k or torch.compiler.is_compiling() or is_captured():
            return False
        return not bool(self.kept[:, : slot + 2].all(dim=1).any())


def is_captured() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def has_confidence(inner: Any) -> bool:
    return getattr(getattr(inner, "model", None), "confidence_head", None) is not None


#: Options of a trained drafter that this module answers to.
OPTIONS = ("stop", "stop_threshold", "adapt", "adapt_start")


def adapted(inner: Any, options: dict[str, Any]) -> Any:
    """`inner`, wrapped when `options` ask for it. Raises InputError for options that make no sense together."""
    key = f"drafters.{inner.name}"
    stop, history = read_options(options, key)
    try:
        return AdaptiveDrafter(inner, stop, history) if stop or history else inner
    except InputError as error:
        raise InputError(f"{key}.{error}") from error


def read_options(
    options: Mapping[str, Any], key: str, sampling: Sampling | None = None
) -> tuple[Stop | None, History | None]:
    """What the options of `key` ask for, checked against each other and against `sampling` where that is known."""
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
