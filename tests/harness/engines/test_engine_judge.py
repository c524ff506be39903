"""An engine that fails while it is asked for logits leaves a mismatch with its reason, and the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config import DecodingConfig
from harness.engines.judge import EngineJudge
from harness.engines.worker import EngineError

VOCAB = 8


class Session:
    """Gives `logits` for every position, and fails where it is to."""

    def __init__(self, logits: dict[int, float] | None, gaps: bool = True) -> None:
        self.logits, self.answers_gaps = logits, gaps

    def scores(self, prompt: Any) -> dict[int, float]:
        if self.logits is None:
            raise EngineError("vLLM ended during scores")
        return self.logits

    def gaps(self, prompt: Any, answer: list[int]) -> list[float]:
        if not self.answers_gaps:
            raise EngineError("vLLM ended during gaps")
        return [0.0] * len(answer)


@pytest.mark.parametrize(
    ("session", "kind", "reason"),
    [
        (Session({3: 1.0, 4: 1.0, 2: 0.0}), "tie", ""),
        (Session(None), "mismatch", "vLLM ended during scores"),
        (Session({3: 1.0, VOCAB: 1.0}), "mismatch", f"a logit of token {VOCAB}, and the target {VOCAB} tokens"),
        (Session({3: 1.0, 4: float("nan")}), "mismatch", "not finite"),
        (Session({3: 1.0, 4: 1.0}, gaps=False), "mismatch", "vLLM ended during gaps"),
    ],
)
def test_logits_that_do_not_come_are_a_mismatch_with_the_reason(session: Any, kind: str, reason: str) -> None:
    judge = EngineJudge(lambda: session, DecodingConfig(), "float32", VOCAB)
    found = judge.greedy([1], [2, 3, 5], [2, 4, 5])
    assert found.kind == kind
    assert reason in found.reason
