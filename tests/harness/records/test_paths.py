"""Paths that leave the machine say neither who uses it nor where its folders are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.paths import without_places

BASES = (Path("/data/ann/work"),)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("/data/ann/models/31b", ".../31b"),
        ("/data/ann/work/outputs/7", "outputs/7"),
        ("/data/ann/my models/31 b", ".../31 b"),
        ("~/models/31b", ".../31b"),
        ("C:\\Users\\Ann\\31b", ".../31b"),
        ("dataset.path=/data/ann/p.jsonl", "dataset.path=.../p.jsonl"),
        ("see file:///data/ann/work/a/report.html", "see a/report.html"),
        ('File "/data/ann/x.py", line 3', 'File ".../x.py", line 3'),
        ("google/gemma-4-31b", "google/gemma-4-31b"),
        ("https://example.org/a/b/c", "https://example.org/a/b/c"),
        ("1/2 or 3/4", "1/2 or 3/4"),
        ("/tmp", "/tmp"),
        ("", ""),
    ],
)
def test_an_absolute_path_keeps_its_last_part_or_what_lies_below_a_base(given_text: str, kept: str) -> None:
    assert without_places(given_text, bases=BASES) == kept


def test_trees_are_cleaned_throughout_and_other_values_stay() -> None:
    tree = {"/data/ann/a": ["/data/ann/b/c", 3, None, True], "k": {"x": 0.5}}
    assert without_places(tree, bases=BASES) == {".../a": [".../c", 3, None, True], "k": {"x": 0.5}}


NAMES = st.text("abcdefXYZ019._-", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@given(st.lists(NAMES, min_size=3, max_size=6))
def test_no_folder_above_the_last_part_stays(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    for text in (path, f"key={path}", f"read '{path}' and stop"):
        cleaned = without_places(text, bases=BASES)
        assert f".../{parts[-1]}" in cleaned
        assert f"/{parts[0]}/" not in cleaned
