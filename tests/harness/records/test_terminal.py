"""Lines on a terminal are broken between words, nowhere else, and lose none."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.terminal import fitted, width_of

WORDS = st.lists(st.text("abc:/.-", min_size=1, max_size=12), min_size=1, max_size=20)


def test_a_log_and_a_pipe_keep_a_line_whole() -> None:
    assert width_of(io.StringIO()) is None
    assert fitted("a " * 200, None) == "a " * 200


def test_a_terminals_columns_are_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        import termios

        termios.tcsetwinsize(theirs, (24, 63))
        assert width_of(stream) == 63
        monkeypatch.setenv("COLUMNS", "70")
        assert width_of(stream) == 70
    os.close(ours)


def test_the_rest_of_a_sentence_is_indented_and_a_path_stays_whole() -> None:
    text = "report: file:///home/someone/outputs/2026-11-28/08-52-03/report.html and more"
    assert fitted(text, 40) == "report:\n  file:///home/someone/outputs/2026-11-28/08-52-03/report.html\n  and more"
    assert fitted("  indented words that do not fit", 20) == "  indented words\n    that do not fit"


def test_the_rest_of_a_row_stands_below_its_last_column() -> None:
    row = "  layers      2, width 32, no keys of their own at all"
    assert fitted(row, 40).splitlines() == ["  layers      2, width 32, no keys of", "              their own at all"]
    assert fitted(row, 36).splitlines()[1] == "    of their own at all", "too little room below the last column"


def test_a_broken_comment_stays_one() -> None:
    assert fitted("  # Tokens drafted per round in every arm", 26).splitlines()[1].startswith("  # ")


@given(words=WORDS, indent=st.integers(0, 6), width=st.integers(20, 90))
def test_words_stay_and_no_line_is_too_long_but_for_one_word(words: list[str], indent: int, width: int) -> None:
    broken = fitted(" " * indent + " ".join(words), width)
    assert broken.split() == " ".join(words).split()
    for line in broken.splitlines():
        assert len(line) <= width or len(line.split()) == 1
