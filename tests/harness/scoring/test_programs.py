"""Answers become programs the way each dataset's tests need them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.scoring.programs import code_of, humaneval_program, mbpp_program

HUMANEVAL: dict[str, Any] = {
    "prompt": 'from typing import List\n\n\ndef total(values: List[int]) -> int:\n    """ Sum. """\n',
    "entry_point": "total",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
}
MBPP: dict[str, Any] = {
    "test_list": ["assert add_up([1, 2]) == 3", "assert add_up([]) == 0"],
    "test_imports": ["import math"],
}


def passes(program: str) -> bool:
    try:
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
    except Exception:
        return False
    return True


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\nDone."


@pytest.mark.parametrize(
    "answer",
    [
        fenced("def total(values: List[int]) -> int:\n    return sum(values)"),
        fenced("def helper(v):\n    return sum(v)\n\ndef total(values):\n    return helper(values)"),
        "    return sum(values)",
        fenced("return sum(values)"),
        fenced("print('an example')") + fenced("def total(values):\n    return sum(values)") + fenced("total([1])"),
        "```python\ndef total(values):\n    return sum(values)",  # cut before the fence closed
    ],
)
def test_a_right_answer_passes_in_every_form_that_models_write(answer: str) -> None:
    assert passes(humaneval_program(HUMANEVAL, answer))


@pytest.mark.parametrize("answer", ["", "I do not know.", fenced("def total(values):\n    return 0"), fenced("def (:")])
def test_a_wrong_answer_does_not(answer: str) -> None:
    assert not passes(humaneval_program(HUMANEVAL, answer))


def test_assertions_call_the_answers_function_whatever_its_name() -> None:
    assert passes(mbpp_program(MBPP, fenced("def add_up(v):\n    return math.fsum(v)")))
    assert passes(
        mbpp_program(MBPP, fenced("def helper(v):\n    return sum(v)\n\ndef sum_list(v):\n    return helper(v)"))
    )
    assert not passes(mbpp_program(MBPP, fenced("def add_up(v):\n    return 1")))
    assert not passes(mbpp_program(MBPP, "no code at all"))


def test_names_inside_other_calls_are_found() -> None:
    answer = {"test_list": ["assert set(find(1)) == {1}", "assert (find(2)) == {2}", "assert not find(0)"]}
    assert "find = lookup" in mbpp_program(answer, fenced("def lookup(v):\n    return {v} if v else set()"))


def test_text_without_a_fence_is_taken_as_code() -> None:
    assert code_of("\nx = 1\n") == "x = 1"
