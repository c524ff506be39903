"""Acceptance from teacher forcing: the drafts from every place of recorded answers, held against what follows there.

A draft stands if it is the token that the answer has at its place; with greedy decoding that is the verifier's verdict.
Answers show nothing beyond their end, so a draft there has no verdict. Anchors of one prompt are correlated: the unit
of every interval is the prompt, as elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from harness.metrics.certainty.processes import student_bound
from harness.metrics.statistics import CONFIDENCE, MIN_PROMPTS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
COLUMNS = ("prompt", "answer", "place", "known", "stood", "best")


@dataclass(frozen=True, slots=True)
class Anchors:
    """Drafts from anchors, one entry each, [A], of at most `k` tokens.

    `answer` and `prompt` number the answer and its prompt; `place` is the anchor's in the answer, from 0. `known`
    counts the drafts with a verdict, `stood` those of them that stood. `best` [A, k] is the drafter's confidence in
    each.
    """

    k: int
    prompt: Ints
    answer: Ints
    place: Ints
    known: Ints
    stood: Ints
    best: Floats

    def __len__(self) -> int:
        return len(self.stood)

    def where(self, chosen: Mask) -> Anchors:
        """The anchors of a mask [A]."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in COLUMNS})

    @classmethod
    def joined(cls, parts: Sequence[Anchors]) -> Anchors:
        """All of `parts`, which have one k. Raises ValueError for none."""
        if not parts:
            raise ValueError("expected at least one part")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        return cls(k=parts[0].k, **columns)


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its interval, which is None without anything to count."""

    value: float | None
    low: float | None
    high: float | None
    count: int  # anchors behind it


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its standard error over prompts; None where fewer than two prompts say nothing about it."""

    value: float
    error: float | None
    low: float | None
    high: float | None
    prompts: int


def visited(anchors: Anchors) -> Mask:
    """The anchors [A] at which rounds begin: the first place of an answer, then every time the one after the last
    accepted draft and its bonus token. Expects every place of every answer but the last."""
    found = np.zeros(len(anchors), dtype=bool)
    order = np.lexsort((anchors.place, anchors.answer))
    starts = np.flatnonzero(np.diff(anchors.answer[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts, ends, strict=True):
        at = start
        while at < end:
            found[order[at]] = True
            at += int(anchors.stood[order[at]]) + 1
    return found


def unconditional(anchors: Anchors, confidence: float = CONFIDENCE) -> list[Share]:
    """Per draft position j = 1..k: anchors whose first j drafts stood, of those that show it."""
    return [
        share(anchors.stood >= j, anchors.known >= j, anchors.prompt, confidence) for j in range(1, anchors.k + 1)
    ]


def conditional(anchors: Anchors, confidence: float = CONFIDENCE) -> list[Share]:
    """Per draft position j = 1..k: anchors whose first j drafts stood, of those whose first j - 1 did and that show
    it."""
    return [
        share(anchors.stood >= j, (anchors.known >= j) & (anchors.stood >= j - 1), anchors.prompt, confidence)
        for j in range(1, anchors.k + 1)
    ]


def share(hits: Mask, counted: Mask, prompt: Ints, confidence: float = CONFIDENCE) -> Share:
    """The share of `hits` among `counted` [A], by Wilson's interval with the effective number of anchors.

    That is the number of independent ones with the same error as these, which are correlated within a prompt (Korn and
    Graubard, Survey Methodology 1998).
    """
    total = int(counted.sum())
    if not total:
        return Share(None, None, None, 0)
    value = float(hits[counted].mean())
    error = clustered_error(hits[counted].astype(float), prompt[counted])
    effective = float(total)
    if error is not None and error > 0 and 0 < value < 1:
        effective = min(effective, value * (1 - value) / error**2)
    low, high = wilson(value, effective, confidence)
    return Share(value, low, high, total)


def wilson(share: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval (JASA 1927) of a share of `trials` > 0."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def clustered_error(values: Floats, cluster: Ints) -> float | None:
    """The standard error of the mean of `values` [A] where those of one cluster are correlated; None for one cluster.

    The mean is a ratio of sums over clusters, and its error that of the linearised ratio.
    """
    _, at = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(at, values), np.bincount(at)
    if len(counts) < 2:
        return None
    apart = sums - counts * (values.sum() / len(values))
    return math.sqrt(float((apart**2).sum()) * len(counts) / (len(counts) - 1)) / len(values)


def mean(values: Floats, prompt: Ints, confidence: float = CONFIDENCE) -> Mean:
    """The mean of `values` [A] with Student's interval over prompts; no interval below MIN_PROMPTS of them.

    Raises ValueError for no value at all.
    """
    if not len(values):
        raise ValueError("expected at least one value")
    value, error = float(values.mean()), clustered_error(values, prompt)
    prompts = len(np.unique(prompt))
    if error is None or prompts < MIN_PROMPTS:
        return Mean(value, error, None, None, prompts)
    reach = student_bound(prompts - 1, confidence) * error
    return Mean(value, error, value - reach, value + reach, prompts)


def difference(ours: Anchors, theirs: Anchors, comparisons: int = 1, confidence: float = CONFIDENCE) -> Mean:
    """How many more drafts stand from an anchor in `ours` than in `theirs`, the same anchors in the same order.

    With `comparisons` made at once, all their intervals hold together (Bonferroni). Raises ValueError where the anchors
    differ.
    """
    if not (np.array_equal(ours.answer, theirs.answer) and np.array_equal(ours.place, theirs.place)):
        raise ValueError("expected the same anchors in the same order")
    return mean((ours.stood - theirs.stood).astype(float), ours.prompt, 1 - (1 - confidence) / max(1, comparisons))
