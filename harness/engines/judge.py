"""Verdicts where only the engine has the target: its own logits say whether a difference is a near-tie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.comparison.judge import Judge
from harness.config import DecodingConfig
from harness.engines.session import Session
from harness.engines.worker import EngineError
from harness.metrics.losslessness import Verdict, first_difference, holds_throughout, verdict

UNTOLD = "the engine tells no logits, so a difference counts as a mismatch"


class EngineJudge(Judge):
    """As `Judge`, with logits asked of the session that decoded the arm."""

    def __init__(self, session: Callable[[], Session | None], decoding: DecodingConfig, dtype: str, vocab: int) -> None:
        self.session, self.decoding = session, decoding
        self.dtype, self.vocab = dtype, vocab

    def greedy(self, prompt_ids: list[int], baseline_ids: list[int], arm_ids: list[int]) -> Verdict:
        index = first_difference(baseline_ids, arm_ids)
        if index is None or index == min(len(baseline_ids), len(arm_ids)):
            return verdict(baseline_ids, arm_ids, np.zeros(self.vocab), self.dtype)
        reason = UNTOLD
        try:
            logits = self.logits(prompt_ids + baseline_ids[:index])
        except EngineError as error:
            logits, reason = None, f"the engine gives no logits, so a difference counts as a mismatch: {error}"
        if logits is None:
            return Verdict("mismatch", index, tokens=(baseline_ids[index], arm_ids[index]), reason=reason)
        found = verdict(baseline_ids, arm_ids, logits, self.dtype)
        if found.kind != "tie":
            return found
        try:
            later = self.past_the_tie(prompt_ids, arm_ids, index + 1)
        except EngineError as error:
            return Verdict("mismatch", index, tokens=found.tokens, reason=f"what follows a tie is not judged: {error}")
        return later if later is not None else found

    def past_the_tie(self, prompt_ids: list[int], arm_ids: list[int], start: int) -> Verdict | None:
        session, rest = self.session(), arm_ids[start:]
        told = session.gaps(prompt_ids + arm_ids[:start], rest) if session is not None and rest else []
        for offset, gap in enumerate(told or []):
            if gap <= 0:
                continue
            logits = self.logits(prompt_ids + arm_ids[: start + offset])
            assert logits is not None  # the session told gaps, so it tells logits
            found = holds_throughout([rest[offset]], logits[None], self.dtype)
            if found.kind == "mismatch":
                return Verdict(
                    "mismatch", start + offset, found.gap, found.tolerance, found.gap_ulps, found.tokens, found.reason
                )
        return None

    def logits(self, before: list[int]) -> NDArray[np.float64] | None:
        """Logits [V] after `before`; those that the engine leaves out lie no higher than the lowest it tells."""
        session = self.session()
        told = session.scores(before) if session is not None else None
        if not told:
            return None
        beyond = [token for token in told if not 0 <= token < self.vocab]
        if beyond:
            raise EngineError(f"it has a logit of token {beyond[0]}, and the target {self.vocab} tokens")
        row = np.full(self.vocab, min(told.values()))
        row[list(told)] = list(told.values())
        return row
