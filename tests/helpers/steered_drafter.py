"""A drafter whose tokens are partly replaced by the right ones.

Random networks are seldom right, so on their own they never leave a round with most of its drafts accepted. Steering
makes every count from none to all come up, while the wrapped drafter lives through the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from drafters.base import Proposal


def mixed(position: int, k: int) -> int:
    """How many of k drafts after an anchor at `position` shall be right: by turns all, any count, and few."""
    scrambled = (position * 2654435761 & 0xFFFFFFFF) >> 12  # no pattern of positions may meet one of round lengths
    kind, number = scrambled % 3, scrambled // 3
    return (k, number % (k + 1), number % min(k + 1, 3))[kind]


def everything(position: int, k: int) -> int:
    return k


def steer(
    own: list[int], sequence: Sequence[int], position: int, rights: Callable[[int, int], int] = mixed
) -> list[int]:
    """Drafts `own` after the anchor at `position`, with the leading `rights` right and the next one wrong."""
    count = rights(position, len(own))
    truth = sequence[position + 1 : position + 1 + len(own)]
    out = list(own)
    out[: min(count, len(truth))] = truth[:count]
    if count < len(truth) and out[count] == truth[count]:
        out[count] = 5 if truth[count] != 5 else 6
    return out


class Steered:
    """`inner`, drafting for one row whose whole `sequence`, prompt included, is known."""

    def __init__(self, inner: Any, sequence: Sequence[int], rights: Callable[[int, int], int] = mixed) -> None:
        self.inner, self.sequence, self.rights = inner, list(sequence), rights
        self.own: dict[int, list[int]] = {}  # the inner drafter's tokens by the anchor's position

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What the loop tells a drafter goes to the wrapped one."""
        if name in ("inner", "sequence", "rights", "own"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.inner, name, value)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        proposal = self.inner.propose(anchor, position)
        at, own = int(position[0]), proposal.tokens[0].tolist()
        self.own[at] = own
        return Proposal(torch.tensor([steer(own, self.sequence, at, self.rights)]))
