"""Whether tokens come from the distributions that they are said to come from, whatever those are.

A token's place in the cumulative sum of its own distribution, at a random point of its own share, is uniform in [0, 1)
if it was drawn from it: the randomised probability integral transform (Czado, Gneiting and Held, Biometrics 65, 2009).
Places of tokens of different distributions can so be judged together, by Kolmogorov's test.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def places(probs: Tensor, tokens: Tensor, uniform: Tensor) -> Tensor:
    """The places [N] in [0, 1] of `tokens` [N] in `probs` [N, V], likeliest token first; `uniform` [N] in [0, 1).

    A token of probability zero has the place 1, which a right sampler never gives.
    """
    weights, index = probs.double(), torch.arange(probs.shape[1], device=probs.device)
    own = weights.gather(1, tokens[:, None])  # [N, 1]
    # Tokens that are equally likely stand in the order of their ids.
    ahead = (weights > own) | ((weights == own) & (index < tokens[:, None]))
    own = own[:, 0]
    place = ((weights * ahead).sum(dim=1) + uniform.double() * own) / weights.sum(dim=1)
    return torch.where(own > 0, place, torch.ones_like(place)).clamp(0, 1)


def chance(found: Tensor) -> float:
    """The chance that uniform numbers lie as unevenly as `found` [N] does, by Kolmogorov's test; 1 for none.

    The limit distribution at Stephens' corrected statistic, right within a few percent from N = 5 on.
    """
    count = len(found)
    if count == 0:
        return 1.0
    if bool((found >= 1).any()):
        return 0.0
    ordered = found.sort().values
    above = (torch.arange(1, count + 1) / count - ordered).max()
    below = (ordered - torch.arange(count) / count).max()
    distance = float(torch.maximum(above, below))
    scaled = (math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)) * distance
    if scaled < 0.2:  # the series does not converge, and the chance is 1 to twelve digits
        return 1.0
    terms = ((-1) ** (i - 1) * math.exp(-2 * i * i * scaled * scaled) for i in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))
