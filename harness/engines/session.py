"""One arm of a run in an engine: the calls of every session, and the record of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from drafters.base import Sampling
from harness.engines.answer import Answer, draft_counts, finish_reason
from harness.engines.rounds import from_counters, rounds_of
from harness.records.rounds import Generation, Round
from harness.records.taints import of_arrivals


@dataclass(frozen=True, slots=True)
class Request:
    """The settings with which a group of prompts is asked."""

    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def seeds(self, count: int) -> list[int] | None:
        return None if self.sampling.temperature == 0 else [self.seed + index for index in range(count)]


class Session(Protocol):
    """An engine that decodes one arm."""

    @property
    def weights(self) -> str | None:
        """The engine's word for its weights where they are not the target's own numbers; None where they are."""
        ...

    def decode(self, prompts: Sequence[list[int]], request: Request) -> list[Generation]:
        """All prompts at once, in order. Raises EngineError."""
        ...

    def scores(self, prompt: Sequence[int]) -> dict[int, float] | None:
        """The highest logits of the token after `prompt`; None if the engine does not report them."""
        ...

    def gaps(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float] | None:
        """Distance of each token of `answer` below the highest logit; None if the engine does not report it."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions, settings and counters, for the record."""
        ...

    def close(self) -> None: ...


def generation_of(
    prompt: Sequence[int], answer: Answer, request: Request, counters: Mapping[str, Any] | None
) -> Generation:
    """A record from an engine's answer. Raises EngineError for one that is not whole (see `harness.engines.answer`).

    `counters` are the engine's own over this request alone. The record has no rounds if the engine reports neither
    drafts per step nor counters, or if they contradict the tokens.
    """
    reason = finish_reason(answer, len(prompt), request.max_new_tokens, request.eos_token_ids)
    emitted = [len(step) for step in answer.steps[1:]]
    rounds: list[Round] | None = None
    if answer.drafts is not None:
        rounds = rounds_of(len(prompt), emitted, *draft_counts(answer.drafts))
    elif counters is not None and (counters == {} or counters.get("num_drafts") == 0):
        rounds = rounds_of(len(prompt), emitted, [], [])
    elif counters is not None and (found := from_counters(emitted, counters)) is not None:
        rounds = rounds_of(len(prompt), emitted, *found)
    return Generation(
        answer.tokens,
        reason,
        rounds or [],
        prefill_s=answer.at[0],
        decode_s=answer.at[-1] - answer.at[0],
        engine_counters=dict(counters) if counters else None,
        taint=of_arrivals(answer.at),
    )
