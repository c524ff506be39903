"""The rounds that another, smaller k would have needed for the same tokens, from the rounds of a run.

A run at k shows for every token of its answers how far it lay from its round's anchor, and whether its draft stood. A
round that begins at one of the run's anchors is cut exactly: accepted at k' is min(accepted, k'). Other rounds of the
smaller k begin at tokens from which nothing was drafted. There each token has one hidden difficulty u, uniform in
[0, 1): a draft at distance d stands if u < h(d), with h(d) the run's own conditional acceptance at that distance, made
never to rise. What the run saw bounds u: a token that stood at distance d has u < h(d), one that was refused there
u >= h(d), and one that was never drafted may have any. At the run's own k this gives back the run's own rounds,
whatever is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.cells import position_counts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DRAWS = 8
_CELLS = 2_000_000  # tokens times draws held at a time


@dataclass(frozen=True, slots=True)
class Answer:
    """The rounds of one generation: drafted, accepted (raw) and emitted, each [rounds]."""

    drafted: Ints
    accepted: Ints
    emitted: Ints

    @property
    def tokens(self) -> int:
        """Tokens that its rounds emitted."""
        return int(self.emitted.sum())


def acceptance_by_distance(drafted: Ints, accepted: Ints) -> Floats:
    """h [D]: how likely a draft at distance 1..D stands once all before it stood, made never to rise.

    Rates that rise are pooled with their neighbours, each weighed with its number of rounds (isotonic regression by
    pooling adjacent violators, Barlow et al. 1972).
    """
    counts = position_counts(drafted, accepted)
    deep = counts[::-1].cumsum(axis=0)[::-1]
    both = deep[:, ::-1].cumsum(axis=1)[:, ::-1]
    place = np.arange(1, len(counts))
    stood, reached = both[place, place].astype(float), both[place, place - 1].astype(float)
    blocks: list[list[float]] = []  # stood, reached, distances
    for s, r in zip(stood, reached, strict=True):
        blocks.append([s, r, 1])
        while len(blocks) > 1 and blocks[-1][0] * blocks[-2][1] >= blocks[-2][0] * blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    rates = [np.full(int(many), s / r if r else 0.0) for s, r, many in blocks]
    return np.concatenate(rates) if rates else np.empty(0)


def rounds_at(answers: Sequence[Answer], ks: Sequence[int], *, seed: int = 0, draws: int = DRAWS) -> Floats:
    """Rounds that each answer takes at each of `ks`, [answers, ks]: the mean over `draws` of the hidden difficulties.

    A round never drafts more than the run's own round at that token did, so rounds that an adaptive drafter kept short
    stay short. Answers end where they ended: the last round is cut at the end-of-sequence token or the length limit.
    """
    found = np.zeros((len(answers), len(ks)))
    if not len(answers) or not len(ks):
        return found
    rates = acceptance_by_distance(
        np.concatenate([one.drafted for one in answers]), np.concatenate([one.accepted for one in answers])
    )
    order = sorted(range(len(answers)), key=lambda index: answers[index].tokens)  # alike lengths pad little
    rng = np.random.default_rng(seed)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * (answers[order[stop]].tokens + len(rates)) < _CELLS:
            stop += 1
        chosen = order[start:stop]
        found[chosen] = _walked([answers[index] for index in chosen], np.asarray(ks), rates, rng, draws)
        start = stop
    return found


def _walked(answers: Sequence[Answer], ks: Ints, rates: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """The same for a few answers: [answers, ks]."""
    lengths = np.array([one.tokens for one in answers])
    low, high, most = _bounds(answers, rates, int(lengths.max(initial=0)))
    counted = np.zeros((len(answers), len(ks)))
    row = np.arange(len(answers))[:, None]
    for _ in range(draws):
        difficulty = low + rng.random(low.shape) * (high - low)
        run = np.zeros(most.shape, dtype=np.int64)  # drafts that stand from each anchor, [answers, tokens]
        alive = np.ones(most.shape, dtype=bool)
        for distance, rate in enumerate(rates, start=1):
            alive &= (difficulty[:, distance : distance + most.shape[1]] < rate) & (distance <= most)
            run += alive
        at = np.zeros((len(answers), len(ks)), dtype=np.int64)
        while (going := at < lengths[:, None]).any():
            counted += going
            stands = np.minimum(run[row, np.minimum(at, most.shape[1] - 1)], ks)
            at = np.where(going, at + stands + 1, at)
    return counted / draws


def _bounds(answers: Sequence[Answer], rates: Floats, longest: int) -> tuple[Floats, Floats, Ints]:
    """Bounds of each token's difficulty [answers, tokens + D + 1], and the drafts of the round at each anchor
    [answers, tokens]. Token t is the t-th after the first anchor, which is token 0."""
    width = longest + len(rates) + 1
    low, high = np.zeros((len(answers), width)), np.ones((len(answers), width))
    most = np.zeros((len(answers), max(longest, 1)), dtype=np.int64)
    for index, one in enumerate(answers):
        anchors = np.cumsum(one.emitted) - one.emitted
        most[index, : one.tokens] = np.repeat(one.drafted, one.emitted)
        for anchor, drafted, accepted in zip(anchors, one.drafted, one.accepted, strict=True):
            # A cut round may have accepted beyond the end, where nothing is walked.
            end = min(accepted, width - 1 - anchor)
            high[index, anchor + 1 : anchor + 1 + end] = rates[:end]
            if accepted < drafted and anchor + accepted + 1 < width:
                low[index, anchor + accepted + 1] = rates[accepted]
    return low, high, most
