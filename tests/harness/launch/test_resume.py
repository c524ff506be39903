"""The command that continues a run can be typed as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from harness.launch.resume import resume_hint


def arguments_of(hint: str) -> list[str]:
    python, _, module, *arguments = shlex.split(hint.split("`")[1])
    assert (python, module) == ("python", "harness")
    return arguments


@pytest.mark.parametrize("folder", ["outputs/a", "/data/two words", "/data/a=b,c", "/data/it's", "/data/{x}\\", "[y]"])
def test_the_folder_is_read_back_as_it_is(folder: str) -> None:
    *kept, last = arguments_of(resume_hint(["drafter=[mtp,dflash]"], Path(folder), sweep=False))
    assert kept == ["drafter=[mtp,dflash]"]
    parsed = OverridesParser.create().parse_override(last)
    assert (parsed.key_or_group, parsed.value()) == ("hydra.run.dir", folder)


def test_a_sweep_is_continued_in_its_own_folder_and_another_folder_is_left_out() -> None:
    given = ["-m", "num_draft_tokens=1,2", "hydra.sweep.dir=old", "+tracking.api_key=secret"]
    hint = resume_hint(given, Path("outputs/sweeps/x"), sweep=True)
    assert arguments_of(hint) == [*given[:2], "+tracking.api_key=<redacted>", "hydra.sweep.dir=outputs/sweeps/x"]


def test_under_a_launcher_only_what_is_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    hint = resume_hint(["seed=1"], Path("out"), sweep=False)
    assert hint == "the same command with hydra.run.dir=out continues"
