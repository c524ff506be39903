"""A generation is decoded again together with anything that it depends on."""

from __future__ import annotations

from typing import Any

import pytest

from harness.comparison.judge import NO_ANSWER
from harness.comparison.resumption import settled
from harness.records.journal import GenerationKey

ARMS = ("baseline", "mtp")


def key(arm: str, turn: int = 0, repeat: int = 0, prompt: str = "p") -> GenerationKey:
    return GenerationKey(prompt, turn, arm, repeat)


def row(status: str = "ok", attempt: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"status": status, **({} if attempt is None else {"attempt": attempt}), **more}


def harness(rows: Any, retry_errors: bool = False) -> set[GenerationKey]:
    return settled(rows, ARMS, together=True, retry_errors=retry_errors)


def test_nothing_is_settled_where_nothing_ran() -> None:
    assert harness({}) == set()


@pytest.mark.parametrize("failed", ARMS)
def test_a_turn_with_an_error_is_tried_again_with_every_arm(failed: str) -> None:
    rows = {key(arm): row("error" if arm == failed else "ok") for arm in ARMS}
    rows |= {key(arm, prompt="q"): row() for arm in ARMS}
    assert harness(rows) == {*rows}
    assert harness(rows, retry_errors=True) == {key(arm, prompt="q") for arm in ARMS}


def test_a_turn_that_was_cut_off_between_its_arms_is_decoded_whole() -> None:
    assert harness({key("baseline"): row(), key("mtp", repeat=1): row()}) == set()


def test_later_turns_rest_on_the_first_repeats_answers() -> None:
    rows = {key(arm, turn, repeat): row() for arm in ARMS for turn in (0, 1, 2) for repeat in (0, 1)}
    rows[key("mtp", 1, 0)] = row("error")
    assert {(one.turn, one.repeat) for one in harness(rows, retry_errors=True)} == {(0, 0), (0, 1), (1, 1)}
    rows[key("mtp", 1, 0)] = row()
    rows[key("mtp", 1, 1)] = row("error")
    assert {(one.turn, one.repeat) for one in harness(rows, retry_errors=True)} == {
        (0, 0), (0, 1), (1, 0), (2, 0), (2, 1),
    }  # fmt: skip


def test_a_verdict_does_not_outlive_its_baseline() -> None:
    rows = {key("baseline"): row(attempt=2), key("mtp"): row(attempt=1, verdict="none")}
    assert harness(rows) == set()
    rows[key("mtp")] = row(attempt=2, verdict="exact")
    assert harness(rows) == {*rows}


def test_a_later_turn_does_not_outlive_the_answer_it_repeats() -> None:
    rows = {key(arm, turn): row(attempt=2 - turn) for arm in ARMS for turn in (0, 1)}
    assert harness(rows) == {key(arm) for arm in ARMS}


def test_an_unjudged_arm_of_an_earlier_version_is_judged_after_all() -> None:
    unjudged = row(attempt=None, verdict="none", verdict_detail={"reason": NO_ANSWER})
    assert harness({key("baseline"): row(attempt=None), key("mtp"): unjudged}) == set()
    without = {key("baseline"): row("error", attempt=None), key("mtp"): unjudged}
    assert harness(without) == {*without}
    unpromised = {key("baseline"): row(attempt=None), key("mtp"): row(attempt=None, verdict="none")}
    assert harness(unpromised) == {*unpromised}


def test_an_engine_decodes_one_arm_after_the_other() -> None:
    names, against = ("vllm_baseline", "vllm_mtp"), ("baseline", "vllm_baseline")
    rows = {key("baseline"): row(), key("vllm_baseline"): row()}

    def engine(retry_errors: bool = False) -> set[str]:
        found = settled(rows, names, baselines=against, together=False, retry_errors=retry_errors)
        return {one.arm for one in found}

    assert engine() == {"vllm_baseline"}, "its next arm is still to come"
    rows[key("vllm_mtp")] = row("error")
    assert engine(retry_errors=True) == {"vllm_baseline"}
    rows[key("vllm_mtp")] = row(attempt=2)
    assert engine() == {*names}
    rows[key("vllm_baseline")] = row("error", attempt=2)
    assert engine(retry_errors=True) == set()
    rows[key("vllm_baseline")] = row(attempt=3)
    assert engine() == {"vllm_baseline"}
    rows[key("baseline")] = row(attempt=4)
    assert engine() == set()


def test_an_engines_arm_without_its_own_baselines_answer_is_not_tried_for_ever() -> None:
    unjudged = row(verdict="none", verdict_detail={"reason": NO_ANSWER})
    rows = {key("baseline"): row(), key("vllm_baseline"): row("error"), key("vllm_mtp"): unjudged}
    names, against = ("vllm_baseline", "vllm_mtp"), ("baseline", "vllm_baseline")
    found = settled(rows, names, baselines=against, together=False, retry_errors=False)
    assert {one.arm for one in found} == {*names}
