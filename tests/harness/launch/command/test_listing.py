"""`drafthouse list`: names, one line each, size, licence, and whether the files are on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from drafters.registry import KINDS
from harness.launch.command.listing import (
    ABSENT,
    HERE,
    UNNEEDED,
    comment_of,
    drafters,
    first_sentence,
    is_here,
    main,
    targets,
)
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK


def test_a_target_has_its_size_licence_and_place() -> None:
    entries = {entry.name: entry for entry in targets()}
    assert entries["31b"].about == "Gemma 4 31B: dense"
    assert (entries["31b"].size, entries["31b"].licence) == ("61.4 GB", "Apache-2.0")
    assert entries["embedded"].present == HERE
    assert entries["embedded"].size.endswith(" MB")
    assert entries["path"].present == UNNEEDED


def test_every_kind_of_drafter_has_a_line() -> None:
    assert [entry.name for entry in drafters()] == list(KINDS)
    assert all(entry.about for entry in drafters())


def test_files_are_found_at_a_path_in_the_assets_and_in_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert is_here("google/some-model") == ABSENT
    (tmp_path / "models--google--some-model" / "snapshots").mkdir(parents=True)
    assert is_here("google/some-model") == HERE
    assert is_here(str(tmp_path)) == HERE
    assert is_here("${asset:target}") == HERE
    assert is_here("${asset:nothing}") == ABSENT
    assert is_here(None) == UNNEEDED


def test_the_comment_ends_before_the_command_that_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("# @package _global_\n# First sentence: more of it. Second\n# one.\n#   a command\nkey: 1\n")
    assert comment_of(path) == "First sentence: more of it. Second one."
    assert first_sentence(comment_of(path)) == "First sentence: more of it"
    path.write_text("key: 1\n")
    assert first_sentence(comment_of(path)) == ""


def test_a_list_is_printed_by_name_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments"]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.startswith("experiments: experiment=NAME")
    assert "quick" in out and "targets:" not in out
    assert main(["tragets"]) == EXIT_BAD_INPUT
