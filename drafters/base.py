"""The contract of a drafter, and the part of the target that it may see.

A drafter proposes; it never touches the target's cache and never samples a target token. The verifier trusts only what
a `Proposal` declares, so a wrong drafter can cost speed but never correctness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class KeyValueView:
    """One target layer's keys and values, addressed by position.

    Row `s` of the buffers holds the token at absolute position `positions[b, s]`; a negative position is an empty
    slot. Rows at or after the anchor's position belong to no verified token and must be masked. On a target that is
    spread over devices they lie on their layer's device: read them through `TargetView.fetch`.
    """

    keys: Tensor  # [B, kv_heads, S, head_dim]
    values: Tensor  # [B, kv_heads, S, head_dim]
    ring: bool  # sliding layers: slot = position mod S; full layers: slot = position


@dataclass(frozen=True, slots=True)
class TargetPass:
    """One verified pass of the target over W tokens (a prefill chunk, or anchor + drafts)."""

    tokens: Tensor  # [B, W]
    positions: Tensor  # [B, W]
    hidden: Tensor  # [B, W, H] after the final norm
    taps: Tensor | None  # [B, W, T*H] outputs of the tapped layers, concatenated in the drafter's order


@dataclass(frozen=True, slots=True)
class Proposal:
    """k drafted tokens. `probs` None declares them deterministic given the context (one-hot q).

    `count` is the number of drafts per row that are submitted; None submits all k. `finite` is false where a token was
    chosen by scores that are NaN or infinite, which fails the generation; None means that all scores were finite.
    """

    tokens: Tensor  # [B, k]
    probs: Tensor | None = None  # [B, k, V], exactly the distribution each token was drawn from
    count: Tensor | None = None  # [B]
    finite: Tensor | None = None  # [B, k]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The rule by which tokens are drawn. Temperature 0 is greedy; `top_k` and `top_p` of None are off."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None


@dataclass(frozen=True, slots=True)
class TargetView:
    """The parts of the target that drafters borrow, all read-only."""

    config: Any  # the Gemma 4 text config
    embed: nn.Embedding  # token ids -> scaled embeddings, as the target's own first layer sees them
    head: nn.Module  # hidden -> logits before the soft-cap
    kv: dict[str, KeyValueView]  # the last "full_attention" and "sliding_attention" layer that keeps its own
    device: torch.device
    dtype: torch.dtype
    #: A part of a layer's keys or values [B, heads, S, head_dim], whole and on `device`, wherever the layer is.
    fetch: Callable[[Tensor], Tensor] = lambda part: part


class Drafter(Protocol):
    """The four calls of a drafter's life. B rows may stand at different lengths; shapes never change between rounds."""

    name: str
    taps: tuple[int, ...]  # decoder layers whose outputs it reads
    reach: int  # set before every round: full buffers hold nothing in use at or past this slot
    serving: object  # set at `begin`: whose rows it holds; a drafter serves one decoder at a time
    @property
    def max_draft_tokens(self) -> int | None: ...  # the most it can propose in a round, None without a limit

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        """Allocate state for `batch_size` rows of up to `capacity` positions. `noise` [B, capacity] in [0, 1) is the
        drafter's own random stream, indexed by the position of the token drawn."""

    def start(self, prefill: TargetPass, row: int) -> None:
        """Take in one chunk of row `row`'s prompt ([1, W]); chunks come in order."""

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        """Draft k tokens after `anchor` [B], which stands at `position` [B] and has no target state yet."""

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        """Take in the verify pass [B, k+1]; rows past `accepted` [B] are rejected and must be forgotten."""


@runtime_checkable
class Replays(Protocol):
    """A drafter that replays the baseline's answers, which it is given before `begin`."""

    def replay(self, answers: Sequence[Sequence[int]]) -> None:
        """Set the answers of the next call: token ids, one list per prompt in decoding order."""
