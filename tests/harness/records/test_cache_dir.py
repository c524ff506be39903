"""The machine's cache lies where its variable says, or in the user's cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from drafters.errors import InputError
from harness.records.cache import cache_dir


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "mine"))
    assert cache_dir("rates") == tmp_path / "mine" / "rates"
    assert (tmp_path / "mine" / "rates").is_dir()


def test_an_empty_variable_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "drafthouse"


def test_a_folder_that_cannot_be_made_is_one_line_with_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="expected a folder that can be written, set DRAFTHOUSE_CACHE"):
        cache_dir("rates")
