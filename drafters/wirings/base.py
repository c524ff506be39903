"""A wiring: one way in which a drafter can be joined to its target, the right one or one that people get wrong.

A drafter with a wrong wiring runs, and its drafts are merely refused more often, so nothing but acceptance shows it.
The wirings of a drafter share its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from drafters.base import Drafter, TargetPass, TargetView
from drafters.confidence import ConfidenceWatch

Module = TypeVar("Module", bound=nn.Module)


def unchanged(given: Any) -> Any:
    return given


@dataclass(frozen=True)
class Wiring:
    """One way to join a drafter to its target.

    `key` is the config entry that decides it, empty where none does. `build` makes the drafter, which reads the layers
    `taps`. `see` changes the target's pass over a whole text, all positions [B, S] at once, before the drafter is shown
    any part of it; `view` changes what it borrows. `reason` says why the wiring does not apply; it is not built then.
    """

    name: str
    key: str
    build: Callable[[ConfidenceWatch], Drafter] | None = None
    taps: tuple[int, ...] = ()
    see: Callable[[TargetPass], TargetPass] = field(default=unchanged)
    view: Callable[[TargetView], TargetView] = field(default=unchanged)
    reason: str = ""

    @property
    def applies(self) -> bool:
        return self.build is not None


def twin(module: Module, **changed: Any) -> Module:
    """A module over the same weights and submodules, with other attributes or submodules in some places."""
    other = copy.copy(module)
    other._modules = dict(module._modules)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


class Rescaled(nn.Module):
    """The target's embedding with another factor on its raw rows."""

    def __init__(self, embed: nn.Embedding, factor: float) -> None:
        super().__init__()
        self.weight, self.embedding_dim, self.factor = embed.weight, embed.embedding_dim, factor

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.nn.functional.embedding(tokens, self.weight) * self.factor
