"""Answers become the programs that each dataset's tests need."""

from __future__ import annotations

from typing import Any

import pytest

from harness.tasks.scoring.programs import code_of, humaneval_program, mbpp_program

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


RIGHT = "def other(v, *, tol=0):\n    return list(v)"


@pytest.mark.parametrize(
    "tests",
    [
        ["assert set(wanted([1, 2])) == {1, 2}", "assert set(wanted([])) == set()"],
        ["assert sorted(wanted([2, 1])) == [1, 2]"],
        ["assert len(wanted([2, 1])) == 2"],
        ["assert sum(list(set(wanted([2, 1])))) == 3"],
        ["assert math.isclose(wanted([0.5])[0], 0.5, rel_tol=1e-9)"],
        ["assert math.isclose(sum(wanted([0.5])), 0.5)", "assert wanted(v=[1], tol=2) == [1]"],
        ["assert not wanted([])", "assert (wanted([1])) == [1]"],
        ["assert all(x == 1 for x in wanted([1, 1]))"],
        ["data = [1, 2]\nassert wanted(data) == data"],
        ["assert list(map(str, wanted([1]))) == ['1']"],
        ["assert [wanted(x) for x in [[1], [2]]] == [[1], [2]]"],
        ["assert str(wanted([1])).strip() == '[1]'"],
    ],
)
def test_the_functions_name_is_found_under_any_wrapper(tests: list[str]) -> None:
    answer = {"test_list": tests, "test_imports": ["import math"]}
    assert "\nwanted = other\n" in mbpp_program(answer, fenced(RIGHT))
    assert passes(mbpp_program(answer, fenced(RIGHT)))
    assert passes(mbpp_program(answer, fenced(RIGHT.replace("other", "wanted"))))
    assert not passes(mbpp_program(answer, fenced("def other(v, *, tol=0):\n    return [7, 7, 7, 7]")))


def test_a_function_called_like_a_builtin_is_the_answers() -> None:
    tests = ["assert sum(10, 15) == 6", "assert abs(sum(4, 2)) == 3"]
    right = fenced("def common(a, b):\n    return {(10, 15): 6, (4, 2): 3}[a, b]")
    assert passes(mbpp_program({"test_list": tests}, right))
    reference = "def sum(a, b):\n    return 1"
    assert passes(mbpp_program({"test_list": ["assert abs(sum(4, 2)) == 3"], "code": reference}, right))


def test_a_helper_class_of_the_tests_is_not_taken_for_the_function() -> None:
    tests = ["assert chain([Pair(5, 24), Pair(1, 2)]) == 2"]
    pair = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
    code = f"{pair}\ndef longest(v):\n    return len(v)"
    assert passes(mbpp_program({"test_list": tests}, fenced(code)))
    assert not passes(mbpp_program({"test_list": tests}, fenced("def longest(v):\n    return 2")))


def test_a_later_function_of_other_arguments_is_skipped() -> None:
    answer = {"test_list": ["assert wanted(3) == 3"]}
    assert passes(mbpp_program(answer, fenced("def mine(v):\n    return v\n\ndef main():\n    print(mine(1))")))


def test_set_up_comes_after_the_classes_that_it_uses() -> None:
    answer = {"test_list": ["assert size(root) == 1"], "test_setup_code": "root = Node(1)"}
    code = "class Node:\n    def __init__(self, v):\n        self.v = v\n\ndef size(n):\n    return n.v"
    assert passes(mbpp_program(answer, fenced(code)))


def test_tests_that_are_not_python_are_an_error() -> None:
    with pytest.raises(ValueError, match="its tests are not Python"):
        mbpp_program({"test_list": ["assert f(1) =="]}, "")


def test_only_blocks_of_python_are_code_and_backticks_inside_a_line_end_none() -> None:
    shell = "```bash\npip install x\n```\nand then\n"
    assert code_of(shell + fenced("x = 1")) == "x = 1"
    assert code_of(fenced('x = "```"\ny = 2')) == 'x = "```"\ny = 2'
    assert code_of("1. Like this:\n\n   ```python\n   def f():\n       return 1\n   ```\n") == "def f():\n    return 1"


def test_a_function_may_be_bound_in_any_way() -> None:
    assert passes(humaneval_program(HUMANEVAL, fenced("total = lambda values: sum(values)")))
    assert passes(mbpp_program(MBPP, fenced("add_up = sum")))


def test_text_without_a_fence_is_taken_as_code() -> None:
    assert code_of("\nx = 1\n") == "x = 1"
