"""The final number of an answer, against keys in the form of GSM8K and AIME."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.scoring.boxed import last_boxed
from harness.tasks.scoring.numbers import final_number, key_number, number_is_right

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
def test_the_final_number_is_found(text: str) -> None:
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
        # exponents and powers
        ("1.5e3", 1500),
        ("1.5E-3", Fraction(3, 2000)),
        (r"\boxed{1.5 \times 10^{3}}", 1500),
        ("1.5×10⁻³", Fraction(3, 2000)),
        ("10^6", 1000000),
        (r"\boxed{2^{10}}", 1024),
        # thousands and decimals
        ("1 000 000", 1000000),
        ("1\u202f000\u00a0000", 1000000),
        ("1'000.5", Fraction(2001, 2)),
        ("1,000", 1000),
        ("5,6", Fraction(28, 5)),
        ("0,125", Fraction(1, 8)),
        ("1000,5", Fraction(2001, 2)),
        ("1.234.567,8", Fraction(12345678, 10)),
        ("1.234,5", Fraction(12345, 10)),
        ("12,34,567", 1234567),
        ("3,4,5", 5),  # a list: the last of them
        (r"\boxed{32,\!348}", 32348),
        # signs, currencies, percent
        ("–5", -5),
        ("from 10–12", 12),
        ("-$5", -5),
        ("$-5$", -5),
        ("€1.000.000", 1000000),
        (r"\boxed{- 5}", -5),
        (r"\boxed{50\%}", 50),
        # fractions
        ("2 1/2", Fraction(5, 2)),
        ("2½", Fraction(5, 2)),
        (r"\boxed{3\frac{1}{2}}", Fraction(7, 2)),
        (r"\boxed{-\frac34}", Fraction(-3, 4)),
        # parts of other words and numbers
        ("The area is 25 cm^2", 25),
        ("The area is 25 m²", 25),
        ("so x_1", None),
        (r"\boxed{10\pi}", None),
        (r"\boxed{5\sqrt{2}}", None),
        (r"\boxed{18, 20}", None),
        (r"\boxed{18 \text{ for 2 people}}", 18),
        (r"\boxed{9 \cdot 2 = 18}", 18),
        # powers that would exhaust the memory
        ("1e999999999", None),
        ("9^999999999", None),
        (f"1/{'1' * 5000}", None),
    ],
)
def test_numbers_are_read_as_written(text: str, value: Fraction | int | None) -> None:
    assert final_number(text) == value


def test_competition_keys_are_whole_numbers_with_leading_zeros_or_without() -> None:
    assert key_number("033") == key_number(33) == 33
    assert number_is_right("033", r"\boxed{33}") == 1.0


def test_a_key_without_a_number_is_an_error() -> None:
    for key in ("none", "18 or 20", float("nan"), True, ""):
        with pytest.raises(ValueError, match="holds no number, or more than one"):
            number_is_right(key, "18")


def test_a_box_keeps_the_braces_inside_it_and_an_open_one_is_none() -> None:
    assert last_boxed(r"a \boxed{1} b \boxed{\frac{1}{2}} c") == r"\frac{1}{2}"
    assert last_boxed(r"a \boxed{1} b \boxed{\frac{1}{2}") == "1"
    assert last_boxed("none") is None
    assert last_boxed(r"} \boxed{1 + \boxed{2}} and {\boxed{3") == "2"
    assert last_boxed(r"\boxed{1} then \boxed{\left\{ 2 \right.}") == r"\left\{ 2 \right."


@given(st.integers(-(10**9), 10**9), st.text(alphabet="abc ,.\n", max_size=20))
def test_any_boxed_number_is_read_back_whatever_stands_around_it(number: int, around: str) -> None:
    assert final_number(f"{around}\\boxed{{{number:,}}}{around}") == number
