"""The command that continues a run can be typed as it stands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from harness.launch.resume import resume_hint


def arguments_of(hint: str) -> list[str]:
    python, _, module, *arguments = shlex.split(hint.split("`")[1])
    assert (Path(python).name, module) == ("python", "harness")
    return arguments


@pytest.mark.parametrize("folder", ["outputs/a", "/data/two words", "/data/a=b,c", "/data/it's", "/data/{x}\\", "[y]"])
def test_the_folder_is_read_back_as_it_is(folder: str) -> None:
    *kept, last = arguments_of(resume_hint(["main", "drafter=[mtp,dflash]"], Path(folder), sweep=False))
    assert kept == ["drafter=[mtp,dflash]"]
    parsed = OverridesParser.create().parse_override(last)
    assert (parsed.key_or_group, parsed.value()) == ("hydra.run.dir", folder)


def test_a_sweep_is_continued_in_its_own_folder_and_another_folder_is_left_out() -> None:
    given = ["-m", "num_draft_tokens=1,2", "hydra.sweep.dir=old", "+tracking.api_key=secret"]
    hint = resume_hint(["main", *given], Path("outputs/sweeps/x"), sweep=True)
    assert arguments_of(hint) == [*given[:2], "+tracking.api_key=<redacted>", "hydra.sweep.dir=outputs/sweeps/x"]


def test_a_run_is_continued_by_the_program_that_started_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("python", "drafthouse"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))

    def words(command: str) -> list[str]:
        return shlex.split(resume_hint([command, "seed=1"], Path("out"), sweep=False).split("`")[1])

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert words("drafthouse") == ["drafthouse", "run", "seed=1", "hydra.run.dir=out"]
    assert words("harness/__main__.py") == ["python", "-m", "harness", "seed=1", "hydra.run.dir=out"]
    monkeypatch.setenv("PATH", "/nowhere")  # an environment that is not active: its programs are named by path
    monkeypatch.chdir(tmp_path)
    assert words("drafthouse")[:2] == ["bin/drafthouse", "run"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert words("python")[:3] == [str(tmp_path / "bin" / "python"), "-m", "harness"]


def test_under_a_launcher_only_what_is_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    hint = resume_hint(["main", "seed=1"], Path("out"), sweep=False)
    assert hint == "the same command with hydra.run.dir=out continues"
