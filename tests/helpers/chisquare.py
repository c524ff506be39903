"""Does a sample come from a distribution? Pearson's test, with rare outcomes pooled."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

#: A right sampler falls below this once in ten thousand seeds (the seeds are fixed); a wrong one falls far below it.
DOUBT = 1e-4
CERTAINTY = 1e-9


def p_value(outcomes: Tensor, probabilities: Tensor) -> float:
    """The chance of `outcomes` [N] (indices) being this uneven if they came from `probabilities` [cells].

    An outcome that has probability zero gives 0 at once. Cells that expect fewer than ten are pooled.
    """
    counts = torch.bincount(outcomes, minlength=len(probabilities)).double()
    expected = probabilities.double() / probabilities.double().sum() * len(outcomes)
    if bool((counts[probabilities == 0] > 0).any()):
        return 0.0
    rare = expected < 10
    if bool(rare.any()):
        counts = torch.cat((counts[~rare], counts[rare].sum()[None]))
        expected = torch.cat((expected[~rare], expected[rare].sum()[None]))
        counts, expected = counts[expected > 0], expected[expected > 0]
    return float(stats.chisquare(counts.numpy(), expected.numpy()).pvalue)


def code(tokens: Tensor, vocabulary: int) -> Tensor:
    """One index per row of `tokens` [N, T]."""
    place = vocabulary ** torch.arange(tokens.shape[1] - 1, -1, -1)
    return (tokens * place).sum(dim=1)
