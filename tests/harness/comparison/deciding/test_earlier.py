"""What a run leaves behind for later runs of the same identity on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.comparison.deciding.earlier import leave_behind, take_earlier
from tests.helpers.recorded_run import record

IDENTITY = {"config": {"seed": 0, "restarts": 1}, "checkpoints": {}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def taken(folder: Path, identity: dict[str, object] = IDENTITY, gpu: str | None = None) -> list[dict[str, object]]:
    take_earlier(folder, identity, gpu)
    return json.loads((folder / "earlier.json").read_text(encoding="utf-8"))["runs"]


def test_a_later_run_of_the_same_identity_finds_the_speedups_and_not_its_own(tmp_path: Path) -> None:
    first, second = record(tmp_path / "first"), record(tmp_path / "second")
    assert taken(first) == []
    leave_behind(first, IDENTITY, None)
    leave_behind(first, IDENTITY, None)
    (found,) = taken(second)
    assert {(one["arm"], one["other"]) for one in found["speedups"]} == {
        ("mtp", "baseline"),
        ("dflash", "baseline"),
        ("dflash", "mtp"),
    }
    assert taken(first) == []


def test_another_configuration_or_card_finds_nothing_and_more_restarts_do(tmp_path: Path) -> None:
    first, second = record(tmp_path / "first"), record(tmp_path / "second")
    leave_behind(first, IDENTITY, None)
    assert taken(second, {"config": {"seed": 1, "restarts": 1}, "checkpoints": {}}) == []
    assert taken(second, gpu="GPU-1") == []
    assert len(taken(second, {"config": {"seed": 0, "restarts": 3}, "checkpoints": {}})) == 1


def test_a_damaged_cache_is_empty_and_one_that_cannot_be_written_is_a_warning(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = record(tmp_path / "run")
    leave_behind(run, IDENTITY, None)
    (file,) = (cache / "runs").iterdir()
    file.write_text("{", encoding="utf-8")
    assert taken(tmp_path / "run") == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "file"))
    leave_behind(run, IDENTITY, None)
    assert taken(tmp_path / "run") == []
    assert "warning: earlier runs are unknown" in capsys.readouterr().err
