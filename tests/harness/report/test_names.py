"""Numbers and names as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.charts.palette import PALETTE, arm_colour, follow_page
from harness.report.names import arm_name, bytes_text, clean, compact, in_ascii, listed, number, percent, span, times


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (times(2.4512), "2.45×"),
        (times(None), "–"),
        (number(float("nan")), "–"),
        (number(1234567, 0), "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"),
        (number(0.5, 1, signed=True), "+0.5"),
        (number(-1234.5, 1, " s", signed=True), "-1\N{NARROW NO-BREAK SPACE}234.5 s"),
        (compact(40.30), "40.3"),
        (compact(0.123456, 3), "0.123"),
        (in_ascii(f"{times(2.5)} {number(12345.6, 1)} {percent(0.5)} {number(None)}"), "2.50x 12345.6 50.0 % -"),
        (percent(0.4312), "43.1\N{NO-BREAK SPACE}%"),
        (percent(0.1, 0, signed=True), "+10\N{NO-BREAK SPACE}%"),
        (span(1.0, 2.0), "1.00 to 2.00"),
        (span(None, 2.0), "–"),
        (bytes_text(0), "0 B"),
        (bytes_text(1024**3), "1.0 GiB"),
        (bytes_text(-2_000_000), "-1.9 MiB"),
        (bytes_text(None), "–"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed([]), ""),
        (arm_name("vllm_dflash"), "DFlash in vLLM"),
        (arm_name("my_own"), "my_own"),
    ],
)
def test_values_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


@given(st.text(st.characters(), max_size=20))
def test_clean_text_can_be_encoded_and_keeps_what_can_be_read(text: str) -> None:
    kept = clean(text)
    kept.encode("utf-8")
    assert len(kept) == len(text)
    assert clean(kept) == kept


def test_clean_text_keeps_every_script_and_what_joins_its_letters() -> None:
    text = "👩\u200d🔬 می\u200cخواهم क्\u200dष\n\ttab"
    assert clean(text) == text
    assert clean("a\x00\x1b[31m\ud800b") == "a\ufffd\ufffd[31m\ufffdb"


def test_every_colour_is_recognised_and_followed() -> None:
    lights = [light for light, _ in PALETTE.values()]
    assert len(set(lights)) == len(lights)
    assert follow_page(f"fill: {PALETTE['arm-mtp'][0]}; stroke: #123456") == "fill: var(--arm-mtp); stroke: #123456"
    assert {arm_colour("anything", place) for place in range(9)} <= set(PALETTE)
