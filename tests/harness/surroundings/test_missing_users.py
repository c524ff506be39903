"""Users without a name or a home, and folders that are gone."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drafters.checkpoints.files import resolve_folder
from drafters.errors import InputError
from harness import compare
from harness.launch import device_lock
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers.broken_surroundings import errors

Command = Callable[..., int]


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose number has no entry in the password database, and whose environment names none."""

    def missing(number: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)


@pytest.mark.usefixtures("nameless")
def test_a_user_without_a_name_holds_a_device_and_is_named_for_libraries(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock.tempfile, "tempdir", str(tmp_path))
    with device_lock.hold_device(torch.device("cpu"), share=False, wait=False):
        assert [path.name for path in tmp_path.glob("*.lock")] == [f"drafthouse-{os.getuid()}-cpu.lock"]
    monkeypatch.setenv("USER", "")  # so that it is taken away again
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
    assert os.environ["USER"] == f"uid{os.getuid()}", "torch's compiler asks for it"


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("path", ["~/model", "~nosuchuser/model"])
def test_a_home_that_is_not_known_is_bad_input(path: str) -> None:
    with pytest.raises(InputError, match=rf"target.path is '{path}': ~ names no home folder"):
        resolve_folder(path, "target.path")


def test_no_folder_for_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device_lock.tempfile, "tempdir", str(tmp_path / "nowhere"))
    with device_lock.hold_device(torch.device("cpu"), share=False, wait=False):
        pass
    assert "warning: no lock for cpu" in capsys.readouterr().err


def test_a_current_folder_that_is_gone_is_named(
    recorded: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert compare.main(["here"]) == EXIT_BAD_INPUT
    assert errors(capsys.readouterr().err)
    assert command("plan=true") == EXIT_BAD_INPUT
    assert errors(capsys.readouterr().err) == [
        "error: the current folder is gone: expected to be started in one that exists"
    ]
    assert compare.main([str(recorded), "--out", str(tmp_path)]) == EXIT_OK
