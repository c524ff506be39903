"""One rule per dataset, the same for every arm, and code only on request."""

from __future__ import annotations

from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import ScoringConfig
from harness.tasks.prompts import Prompt
from harness.tasks.scoring import scorer as module
from harness.tasks.scoring.scorer import Scorer

PROGRAM = {"prompt": "def one():\n", "entry_point": "one", "test": "def check(c):\n    assert c() == 1"}


def prompt(answer: Any, category: str = "c") -> Prompt:
    return Prompt("p", category, ("q",), answer=answer)


def test_no_rule_or_no_key_gives_no_score() -> None:
    assert Scorer(None, ScoringConfig())(prompt("#### 1"), "1") is None
    assert Scorer("number", ScoringConfig())(prompt(None), "1") is None


def test_prompts_without_a_key_are_counted_before_the_run() -> None:
    scorer = Scorer("number", ScoringConfig())
    assert scorer.check([prompt("1")]) is None and Scorer(None, ScoringConfig()).check([prompt(None)]) is None
    assert scorer.check([prompt("1"), prompt(None)]) == (
        "1 of 2 prompts have no answer key, so they get no score (dataset.scorer=number; the first is p)"
    )


@pytest.mark.parametrize("tests", ["['assert f(1) == 1']", [], None])
def test_tests_that_would_pass_everything_are_refused(tests: Any) -> None:
    with pytest.raises(InputError, match=r"prompt p: its .*test_list"):
        Scorer("mbpp", ScoringConfig(execute_code=True)).check([prompt({"test_list": tests})])


def test_numbers_and_expressions_need_no_permission() -> None:
    assert Scorer("number", ScoringConfig())(prompt("#### 1"), r"\boxed{1}") == 1.0
    assert Scorer("math", ScoringConfig())(prompt("1"), r"\boxed{2}") == 0.0


def test_the_shipped_prompts_are_scored_by_their_kind() -> None:
    score = Scorer("corpus", ScoringConfig())
    assert score(prompt("106", "arithmetic"), "79 + 27\nAnswer: 106") == 1.0
    assert Scorer("corpus", ScoringConfig())(prompt("106", "arithmetic"), "Answer: 107") == 0.0


def test_code_is_not_run_unless_the_config_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sandbox, "run_program", lambda *a: pytest.fail("ran"))
    assert Scorer("humaneval", ScoringConfig())(prompt(PROGRAM), "    return 1") is None


def test_code_is_run_once_for_equal_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    score = Scorer("humaneval", ScoringConfig(execute_code=True))
    assert score(prompt(PROGRAM), "    return 1") == 1.0
    monkeypatch.setattr(module.sandbox, "run_program", lambda *a: pytest.fail("ran again"))
    assert score(prompt(PROGRAM), "    return 1") == 1.0


def test_an_unknown_rule_and_an_unusable_key_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"dataset\.scorer=taste: expected one of number, math, humaneval, mbpp, corpus"
    ):
        Scorer("taste", ScoringConfig())
    with pytest.raises(InputError, match="prompt p: the answer key 'x' holds no number"):
        Scorer("number", ScoringConfig())(prompt("x"), "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"timeout_s": 0}, "scoring.timeout_s=0"), ({"memory_mb": 1}, "scoring.memory_mb=1: expected 64 or more")],
)
def test_limits_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ScoringConfig(**options)
