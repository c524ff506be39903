"""Verdicts where only the engine has the target: its own logits say whether a difference is a near-tie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.comparison.judge import Judge
from harness.config import DecodingConfig
from harness.engines.session import Session
from harness.engines.worker import EngineError
from harness.metrics.losslessness import Verdict, first_difference, holds_throughout, verdict

NO_LOGITS = "the engine tells no logits, so a difference counts as a mismatch"


class EngineJudge(Judge):
    """Judges by logits asked of the session that decoded the arm. `vocab` is the target's number of tokens."""

    def __init__(self, session: Callable[[], Session | None], decoding: DecodingConfig, dtype: str, vocab: int) -> None:
        super().__init__(decoding, dtype)
        self.session, self.vocab = session, vocab

    def greedy(self, prompt_ids: list[int], baseline_ids: list[int], arm_ids: list[int]) -> Verdict:
        """As against a loaded target; a difference that the engine gives no logits for is a mismatch."""
        index = first_difference(baseline_ids, arm_ids)
        if index is None or index == min(len(baseline_ids), len(arm_ids)):
            return verdict(baseline_ids, arm_ids, np.zeros(self.vocab), self.dtype)
        reason = NO_LOGITS
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
        """The first mismatch at or after output token `start` on the arm's own text. Raises EngineError."""
        session, rest = self.session(), arm_ids[start:]
        gaps = session.gaps(prompt_ids + arm_ids[:start], rest) if session is not None and rest else []
        for offset, gap in enumerate(gaps or []):
            if gap <= 0:
                continue
            logits = self.logits(prompt_ids + arm_ids[: start + offset])
            assert logits is not None  # a session that reports gaps reports logits
            found = holds_throughout([rest[offset]], logits[None], self.dtype)
            if found.kind == "mismatch":
                return replace(found, index=start + offset)
        return None

    def logits(self, before: list[int]) -> NDArray[np.float64] | None:
        """Logits [V] after `before`, None where the engine reports none.

        Those that it leaves out are set to the lowest that it reports: they lie no higher. Raises EngineError.
        """
        session = self.session()
        scores = session.scores(before) if session is not None else None
        if not scores:
            return None
        beyond = [token for token in scores if not 0 <= token < self.vocab]
        if beyond:
            raise EngineError(f"it has a logit of token {beyond[0]}, and the target {self.vocab} tokens")
        row = np.full(self.vocab, min(scores.values()))
        row[list(scores)] = list(scores.values())
        return row
