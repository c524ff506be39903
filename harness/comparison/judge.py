"""Compares each arm's tokens with the baseline's of the same run, where the two must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from harness.config import DecodingConfig
from harness.metrics.losslessness import Verdict, first_difference, holds_throughout, verdict
from harness.target.target import Target

Judgement = tuple[str, dict[str, Any] | None]  # the verdict, and what it rests on
NO_ANSWER = "the baseline has no answer to this prompt"
CHUNK = 64  # rows of logits held at a time; a row is as wide as the vocabulary


class Judge:
    """Verdicts of one run, from the logits of a target in `dtype`, its name.

    Sampled decoding promises the baseline's distribution, not its tokens, unless it matches.
    """

    def __init__(self, decoding: DecodingConfig, dtype: str) -> None:
        self.decoding, self.dtype = decoding, dtype

    def __call__(self, prompt_ids: Sequence[int], baseline_ids: Sequence[int], arm_ids: Sequence[int]) -> Judgement:
        """`exact`, `tie`, `mismatch` or `none`, and what it rests on."""
        if not baseline_ids:
            return "none", {"reason": NO_ANSWER}
        if self.decoding.greedy:
            found = self.greedy(list(prompt_ids), list(baseline_ids), list(arm_ids))
        elif self.decoding.verification == "match":
            found = self.matched(list(baseline_ids), list(arm_ids))
        else:
            return "none", None
        return found.kind, found.detail()

    def greedy(self, prompt_ids: list[int], baseline_ids: list[int], arm_ids: list[int]) -> Verdict:
        """The verdict on greedy tokens: against the baseline's and, past a tie, on the arm's own text."""
        raise NotImplementedError

    def matched(self, baseline_ids: list[int], arm_ids: list[int]) -> Verdict:
        """Sample-and-match draws every token from the same noise, so equal seeds promise equal tokens."""
        index = first_difference(baseline_ids, arm_ids)
        if index is None:
            return Verdict("exact")
        pair = (_at(baseline_ids, index), _at(arm_ids, index))
        if self.dtype in ("float32", "float64"):
            return Verdict("mismatch", index, tokens=pair, reason="the same seed drew another token")
        # The distance of a draw from its boundary is unknown here, so rounding looks like a fault.
        return Verdict("none", index, tokens=pair, reason=f"sampled in {self.dtype}, where rounding moves draws")


class TargetJudge(Judge):
    """Judges by the logits of the loaded target."""

    def __init__(self, target: Target, decoding: DecodingConfig) -> None:
        super().__init__(decoding, str(target.dtype).removeprefix("torch."))
        self.target = target

    def greedy(self, prompt_ids: list[int], baseline_ids: list[int], arm_ids: list[int]) -> Verdict:
        """Against the baseline up to the first difference and, past a tie, against the target on the arm's own text."""

        def logits_at(before: list[int]) -> torch.Tensor:
            return self.target.teacher_forced_logits(prompt_ids + before)

        found = verdict(baseline_ids, arm_ids, logits_at, self.dtype)
        if found.kind != "tie" or found.index is None:
            return found
        later = self.past_the_tie(prompt_ids, arm_ids, found.index + 1)
        return later if later is not None else found

    def past_the_tie(self, prompt_ids: list[int], arm_ids: list[int], start: int) -> Verdict | None:
        """The first mismatch at or after output token `start`, teacher-forced on the arm's own output."""
        for begin in range(start, len(arm_ids), CHUNK):
            chunk = arm_ids[begin : begin + CHUNK]
            read = prompt_ids + arm_ids[: begin + len(chunk) - 1]
            logits = self.target.logits_of_last(read, len(chunk))  # [len(chunk), V], each before one of `chunk`
            found = holds_throughout(chunk, logits, self.dtype)
            if found.kind == "mismatch":
                return replace(found, index=begin + (found.index or 0))
        return None


def no_verdict(prompt_ids: Sequence[int], baseline_ids: Sequence[int], arm_ids: Sequence[int]) -> Judgement:
    """The judgement on a synthetic run, whose tokens answer nothing."""
    return "none", None


def _at(token_ids: list[int], index: int) -> int | None:
    return token_ids[index] if index < len(token_ids) else None
