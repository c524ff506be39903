"""Verdicts of a run rest on the target's own logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.comparison.judge import TargetJudge
from harness.config import DecodingConfig
from harness.decoding.decoder import DecodeSettings
from harness.decoding.loop import decode
from harness.target.target import Target
from tests.helpers import tiny_models as tiny

PROMPT = tiny.prompt(9)


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(tiny.target_model())


@pytest.fixture(scope="module")
def answer(target: Target) -> list[int]:
    [generation] = decode(target, None, [PROMPT], DecodeSettings(max_new_tokens=80))
    return generation.token_ids


def judged(target: Target, theirs: list[int], ours: list[int], **decoding: Any) -> tuple[str, dict[str, Any] | None]:
    return TargetJudge(target, DecodingConfig(**decoding))(PROMPT, theirs, ours)


def test_equal_tokens_are_exact(target: Target, answer: list[int]) -> None:
    assert judged(target, answer, list(answer)) == ("exact", None)


def test_another_token_is_a_mismatch_at_its_place(target: Target, answer: list[int]) -> None:
    wrong = [*answer[:5], (answer[5] + 1) % tiny.VOCAB, *answer[6:]]
    kind, detail = judged(target, answer, wrong)
    assert kind == "mismatch"
    assert detail is not None
    assert (detail["index"], detail["tokens"]) == (5, (answer[5], wrong[5]))
    assert detail["gap"] > detail["tolerance"]


def with_tie_at(target: Target, monkeypatch: pytest.MonkeyPatch, index: int, other: int) -> None:
    """Make `other` as good as the best token after `index` output tokens, on the baseline's own prefix."""
    real = target.teacher_forced_logits

    def logits(token_ids: list[int]) -> torch.Tensor:
        found = real(token_ids).clone()
        if len(token_ids) == len(PROMPT) + index:
            found[other] = found.max()
        return found

    monkeypatch.setattr(target, "teacher_forced_logits", logits)


def test_a_tie_is_followed_to_the_end_of_the_arms_own_text(
    target: Target, answer: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (answer[5] + 1) % tiny.VOCAB
    with_tie_at(target, monkeypatch, 5, other)
    # What the target itself says after the tied token: honest to the end.
    [rest] = decode(target, None, [[*PROMPT, *answer[:5], other]], DecodeSettings(max_new_tokens=74))
    honest = [*answer[:5], other, *rest.token_ids]
    kind, detail = judged(target, answer, honest)
    assert kind == "tie"
    assert detail is not None and detail["index"] == 5
    corrupt = [*honest[:77], (honest[77] + 1) % tiny.VOCAB, *honest[78:]]
    kind, detail = judged(target, answer, corrupt)
    assert kind == "mismatch", "a fault behind a tie is found, more than one chunk later too"
    assert detail is not None and detail["index"] == 77


def test_without_a_baseline_nothing_is_judged(target: Target, answer: list[int]) -> None:
    kind, detail = judged(target, [], answer)
    assert kind == "none"
    assert detail == {"reason": "the baseline has no answer to this prompt"}


def test_rejection_sampling_promises_no_tokens(target: Target, answer: list[int]) -> None:
    assert judged(target, answer, answer[::-1], temperature=1.0) == ("none", None)


def test_sample_and_match_promises_the_same_tokens(target: Target, answer: list[int]) -> None:
    match = {"temperature": 1.0, "verification": "match"}
    assert judged(target, answer, list(answer), **match) == ("exact", None)
    kind, detail = judged(target, answer, answer[:-1], **match)
    assert kind == "mismatch"
    assert detail is not None and detail["tokens"] == (answer[-1], None)


def test_sample_and_match_in_bfloat16_is_not_judged_by_its_tokens(answer: list[int]) -> None:
    target = Target(tiny.target_model().to(torch.bfloat16))
    kind, detail = judged(target, answer, answer[:-1], temperature=1.0, verification="match")
    assert kind == "none"
    assert detail is not None and detail["index"] == len(answer) - 1
