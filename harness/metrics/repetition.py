"""Counts repeated n-grams: looping text is easy to draft and measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NGRAM = 8


def repeated_ngrams(token_ids: Sequence[Sequence[int]], n: int = NGRAM) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts per sequence of n-grams that occurred earlier in it, and of all its n-grams: two arrays [sequences].

    n-grams are compared by a 64-bit hash, so two different ones count as equal once in about 10^19 comparisons.
    """
    lengths = np.array([len(ids) for ids in token_ids], dtype=np.int64)
    total = np.maximum(lengths - n + 1, 0)
    if not total.sum():
        return np.zeros_like(total), total
    tokens = _mixed(np.concatenate([np.asarray(ids, dtype=np.int64) for ids in token_ids]).astype(np.uint64))
    hashes = np.zeros(len(tokens) - n + 1, dtype=np.uint64)
    for place in range(n):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + tokens[place : place + len(hashes)]
    ends = np.cumsum(lengths)
    owner = np.repeat(np.arange(len(lengths)), total)
    # The windows that lie inside one sequence: `total` of them from each sequence's start.
    inside = np.arange(len(owner)) - np.repeat(np.cumsum(total) - total, total) + np.repeat(ends - lengths, total)
    # The owner is mixed in, so that equal n-grams of two sequences differ.
    _, first = np.unique(_mixed(hashes[inside]) ^ _mixed(owner.astype(np.uint64)), return_index=True)
    return total - np.bincount(owner[first], minlength=len(lengths)), total


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea & Flood 2014): spreads small integers over 64 bits."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
