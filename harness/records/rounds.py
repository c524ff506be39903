"""Rounds and generations: the two records of a run.

Every reported figure is derived from them, so they hold raw counts and raw seconds only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drafters.errors import InputError

#: Why a generation's times are in doubt, with an explanation. Those of the first three are not decode times at all.
TAINTS = {
    "stopped": "the process was stopped or the machine slept meanwhile",
    "clock_jump": "the machine's clock jumped meanwhile",
    "buffered": "tokens arrived together, later than they were made",
    "stalled": "one round took a second longer than the others and twenty times the median",
    "busy": "other processes took the processor meanwhile",
}
#: A generation with one of these keeps its tokens, verdict and acceptance; its times enter no figure.
UNTIMED = ("stopped", "clock_jump", "buffered")


@dataclass(frozen=True, slots=True)
class Round:
    """One propose-verify-accept turn.

    `position` is the absolute index of the anchor token when the round began. `accepted` is the verifier's raw count,
    before any EOS or length cut; `emitted` counts the committed tokens. Times are seconds, None if an engine does not
    report them.
    """

    round: int
    position: int
    drafted: int
    accepted: int
    emitted: int
    draft_s: float | None
    verify_s: float | None
    other_s: float | None
    draft_token_ids: tuple[int, ...] = ()


@dataclass(slots=True)
class Generation:
    """One decoded prompt; the first token comes from prefill, so `len(token_ids) == 1 + sum(emitted)`.

    `wall_share_s` is the time of the whole batch, from its first prefill to its last token, divided by its prompts.
    Another engine may report no rounds; `engine_counters` are its own counts over this generation, if it has any.
    `taint` is a word of TAINTS if the times are in doubt.
    """

    token_ids: list[int]
    finish_reason: str  # "eos" | "length"
    rounds: list[Round] = field(default_factory=list)
    prefill_s: float = 0.0
    decode_s: float = 0.0
    wall_share_s: float | None = None
    peak_memory_bytes: int | None = None
    engine_counters: dict[str, Any] | None = None
    taint: str = ""
    machine: dict[str, Any] | None = None  # disturbances while it was timed (harness.records.disturbance)
    reader: Callable[[list[int]], str] | None = field(default=None, repr=False, compare=False)  # of token ids as text

    @property
    def text(self) -> str:
        """The answer without special tokens. Raises InputError where the target has no tokenizer."""
        if self.reader is None:
            raise InputError("this generation came without a tokenizer: only answers of `generate` have a text")
        return self.reader(self.token_ids)
