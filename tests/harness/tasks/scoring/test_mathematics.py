"""Expressions are compared by meaning with math-verify, by letters without it."""

from __future__ import annotations

import pytest

from harness.tasks.scoring import mathematics
from harness.tasks.scoring.mathematics import expression_is_right

SAME = [
    (r"\left( 3, \frac{\pi}{2} \right)", r"so \boxed{\left(3, \frac{\pi}{2}\right)}"),
    (r"\frac{14}{3}", r"\boxed{\dfrac{14}{3}}"),
    ("42", r"the sum is \boxed{42}."),
    (r"\text{Evelyn}", r"\boxed{\text{Evelyn}}"),
    (r"90^\circ", r"\boxed{90}"),
    ("x^2 + 3", r"\boxed{x^2+3}"),
]
DIFFERENT = [
    ("42", r"\boxed{41}"),
    (r"\frac{14}{3}", r"\boxed{\frac{3}{14}}"),
    ("42", "no answer"),
    (r"\text{Evelyn}", r"\boxed{\text{Angela}}"),
]


@pytest.fixture(params=["library", "text"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "library":
        pytest.importorskip("math_verify")
    else:
        monkeypatch.setattr(mathematics, "has_library", lambda: False)
    return str(request.param)


@pytest.mark.parametrize(("answer", "text"), SAME)
def test_equal_answers_pass_either_way(way: str, answer: str, text: str) -> None:
    assert expression_is_right(answer, text) == 1.0


@pytest.mark.parametrize(("answer", "text"), DIFFERENT)
def test_different_answers_fail_either_way(way: str, answer: str, text: str) -> None:
    assert expression_is_right(answer, text) == 0.0


def test_arrows_are_not_brackets_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "has_library", lambda: False)
    assert expression_is_right(r"a \leftarrow b", r"\boxed{a \rightarrow b}") == 0.0


def test_only_the_library_sees_through_another_form() -> None:
    pytest.importorskip("math_verify")
    assert expression_is_right(r"\frac{1}{2}", r"\boxed{0.5}") == 1.0
    assert expression_is_right("x^2 - 1", r"\boxed{(x-1)(x+1)}") == 1.0


def test_the_manifest_names_the_method(way: str) -> None:
    assert mathematics.compares_by().startswith("math-verify" if way == "library" else "text")
