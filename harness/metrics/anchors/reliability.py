"""How far a drafter's own confidence can be trusted: reliability curve, expected calibration error, Brier score.

The confidence in a draft is compared with whether it stood, over drafts that were reached: all before them stood. That
is the question that a confidence stop asks (docs/drafting.md). Brier, Monthly Weather Review 1950; Naeini, Cooper and
Hauskrecht, AAAI 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.anchors.outcomes import Anchors

Floats = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Drafts of one tenth of the scale: their mean confidence, the share that stood, and their number."""

    confidence: float
    stood: float
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration of drafts at one `position`, or of all where it is None; None figures without a draft.

    `error` is the expected calibration error: over drafts, the mean of |share that stood - mean confidence| of a bin.
    `brier` is the mean of (confidence - outcome) squared, `base` that of a constant confidence, the share that stood.
    """

    position: int | None
    count: int
    confidence: float | None
    stood: float | None
    error: float | None
    brier: float | None
    base: float | None
    bins: tuple[Bin, ...]


def reliability(confidence: Floats, stood: NDArray[np.bool_], position: int | None = None) -> Reliability:
    """Of confidences in [0, 1] and outcomes, both [N]. Raises ValueError for others, or lengths that differ."""
    confidence = np.asarray(confidence, dtype=float)
    if confidence.shape != stood.shape or confidence.ndim != 1:
        raise ValueError(f"expected two lists of one length, got shapes {confidence.shape} and {stood.shape}")
    if not len(confidence):
        return Reliability(position, 0, None, None, None, None, None, ())
    if not bool(np.all((confidence >= -1e-6) & (confidence <= 1 + 1e-6))):
        raise ValueError("expected confidences between 0 and 1")
    confidence = confidence.clip(0.0, 1.0)
    outcome = stood.astype(float)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums, hits = np.bincount(place, confidence, BINS), np.bincount(place, outcome, BINS)
    bins = tuple(
        Bin(float(total / count), float(hit / count), int(count))
        for total, hit, count in zip(sums, hits, counts, strict=True)
        if count
    )
    rate = float(outcome.mean())
    return Reliability(
        position,
        len(confidence),
        float(confidence.mean()),
        rate,
        float(np.abs(hits - sums).sum() / len(confidence)),
        float(((confidence - outcome) ** 2).mean()),
        rate * (1 - rate),
        bins,
    )


def reached(anchors: Anchors, position: int) -> NDArray[np.bool_]:
    """The anchors [A] whose drafts before `position` (from 1) all stood, and whose answer shows its verdict."""
    return (anchors.known >= position) & (anchors.stood >= position - 1)


def by_position(anchors: Anchors) -> list[Reliability]:
    """Per draft position from 1 to k, conditional on reaching it; then over all of them."""
    found, confidences, outcomes = [], [], []
    for position in range(1, anchors.k + 1):
        chosen = reached(anchors, position)
        confidences.append(anchors.best[chosen, position - 1])
        outcomes.append(anchors.stood[chosen] >= position)
        found.append(reliability(confidences[-1], outcomes[-1], position))
    return [*found, reliability(np.concatenate(confidences), np.concatenate(outcomes))]


def brier_of_anchors(anchors: Anchors) -> Floats:
    """Per anchor [A] the sum over reached positions of (confidence - outcome) squared; lower is better."""
    total = np.zeros(len(anchors))
    for position in range(1, anchors.k + 1):
        chosen = reached(anchors, position)
        outcome = (anchors.stood[chosen] >= position).astype(float)
        total[chosen] += (anchors.best[chosen, position - 1] - outcome) ** 2
    return total
