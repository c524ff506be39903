"""The number an answer settles on, against keys as GSM8K and AIME write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.boxed import last_boxed
from harness.scoring.numbers import final_number, key_number, number_is_right

KEY = "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\nShe makes 9 * 2 = $<<9*2=18>>18 a day.\n#### 18"


@pytest.mark.parametrize(
    "text",
    [
        r"So she makes \boxed{18} dollars.",
        r"First \boxed{9}, then \boxed{\$18}",
        r"\boxed{18 \text{ dollars}}",
        r"\boxed{x = 18}",
        "9 * 2 = 18\n#### 18",
        "She makes $18.",
        "The answer is 18.00",
    ],
)
def test_the_settled_number_is_found(text: str) -> None:
    assert number_is_right(KEY, text) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No idea.",
        r"It is 18, so \boxed{9}",  # a box is what counts
        r"18 eggs and then \boxed{unknown}",
        "18 eggs cost 2 dollars",
        "180",
        "-18",
    ],
)
def test_another_number_is_wrong(text: str) -> None:
    assert number_is_right(KEY, text) == 0.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234,567", 1234567),
        ("it costs $1,200.", 1200),
        (r"\boxed{1{,}200}", 1200),
        (r"\boxed{\frac{3}{4}}", Fraction(3, 4)),
        (r"\boxed{\dfrac{3}{4}}", Fraction(3, 4)),
        ("1/2", Fraction(1, 2)),
        ("0.5", Fraction(1, 2)),
        ("between 10-12", 12),
        ("it fell by -3", -3),
        ("x = −4", -4),
        ("1/0", None),
    ],
)
def test_numbers_are_read_as_written(text: str, value: Fraction | int | None) -> None:
    assert final_number(text) == value


def test_competition_keys_are_whole_numbers_with_leading_zeros_or_without() -> None:
    assert key_number("033") == key_number(33) == 33
    assert number_is_right("033", r"\boxed{33}") == 1.0


def test_a_key_without_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="holds no number"):
        number_is_right("none", "18")


def test_a_box_keeps_the_braces_inside_it_and_an_open_one_is_none() -> None:
    assert last_boxed(r"a \boxed{1} b \boxed{\frac{1}{2}} c") == r"\frac{1}{2}"
    assert last_boxed(r"a \boxed{1} b \boxed{\frac{1}{2}") == "1"
    assert last_boxed("none") is None


@given(st.integers(-(10**9), 10**9), st.text(alphabet="abc ,.\n", max_size=20))
def test_any_boxed_number_is_read_back_whatever_stands_around_it(number: int, around: str) -> None:
    assert final_number(f"{around}\\boxed{{{number:,}}}{around}") == number
