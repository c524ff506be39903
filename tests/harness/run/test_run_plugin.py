"""A run with a drafter of another package: planned, decoded, recorded by its code, refused where it changed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drafters import registry
from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.records.identity import AnotherRun
from harness.records.stored import read_manifest
from harness.report.names import is_control
from harness.run import run
from harness.vocabulary import EXIT_OK
from tests.helpers.packages import Install, drafter

RECORD = 'record = Kind("mine", title="Repeats", may_be_silent=True, low_because="it repeats one token")'
BLOCK = {"drafter": ["mine"], "drafters": {"mine": {"kind": "my_pkg:Mine"}}, "num_draft_tokens": None}


@pytest.fixture
def mine(install: Install) -> Path:
    return install("my-pkg", {"my_pkg.py": drafter(RECORD)})


@pytest.mark.usefixtures("blank_charts")
def test_it_is_an_arm_like_any_other_and_changed_code_is_another_run(
    configure: Callable[..., Any], tmp_path: Path, mine: Path
) -> None:
    config = configure(count=1, max_new_tokens=6, **BLOCK)
    outcome = run(config, tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    [arm] = [one for one in manifest["arms"] if one["name"] == "mine"]
    assert (arm["kind"], arm["num_draft_tokens"]) == ("my_pkg:Mine", 4)
    assert arm["source"]["code"] == "my_pkg:Mine" and len(arm["source"]["files_sha256"]) == 16
    assert str(tmp_path) not in json.dumps(arm)
    assert arm["traits"] == {"title": "Repeats", "may_be_silent": True, "low_because": "it repeats one token"}

    (mine / "my_pkg.py").write_text(drafter(RECORD + "\n    depth = 2"))
    importlib.reload(sys.modules["my_pkg"])
    registry._plugged.clear()
    with pytest.raises(AnotherRun, match=r"config\.drafters\.mine\.source\.files_sha256"):
        run(config, tmp_path / "run")


def test_a_run_is_read_where_the_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_read", {})
    traits = {"title": "Floor", "control": True, "low_because": 7, "drafter": "os:system", "colour": ["#fff"]}
    arm = {"name": "mine", "kind": "gone_pkg:Mine", "traits": traits}
    damaged = {"name": "x", "kind": "x", "traits": "damaged"}
    (tmp_path / "manifest.json").write_text(json.dumps({"arms": [arm, damaged]}))
    read_manifest(tmp_path)
    assert registry.kind_of("gone_pkg:Mine") == registry.Kind("gone_pkg:Mine", title="Floor", control=True)
    assert is_control("gone_pkg:Mine") and not is_control("x")
    with pytest.raises(InputError, match="gone_pkg cannot be imported"):  # knowing about it is not having it
        registry.find_kind("gone_pkg:Mine")


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"kind": "my_pkg:Mien"}, "drafters.mine.kind=my_pkg:Mien: my_pkg has no Mien, did you mean Mine?"),
        ({"kind": "my_pkg:Mine", "depth": 1}, "drafters.mine.depth is no option of this drafter"),
        ({"kind": "my_pkg:Mine", "num_draft_tokens": 7},
         "drafters.mine.num_draft_tokens=7: expected 6 or less, the most that mine drafts in a round"),
        ({"kind": "gone:Mine"}, "drafters.mine.kind=gone:Mine: gone cannot be imported (ModuleNotFoundError"),
        ({}, "drafters.mine.kind=mine: expected one of mtp, dflash, lookup, oracle, random, or package.module:Class"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_before_the_target_is_looked_for(
    configure: Callable[..., Any], block: dict[str, Any], message: str
) -> None:
    config = configure(**{**BLOCK, "drafters": {"mine": block}})
    with pytest.raises(InputError) as error:
        preflight(config)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_drafter_is_answered_with_those_of_packages(install: Install, configure: Callable[..., Any]) -> None:
    install("my-pkg", {"my_pkg.py": drafter(RECORD)}, {"repeats": "my_pkg:Mine"})
    assert [arm.kind for arm in configure(drafter=["repeats"]).arms] == ["repeats"]
    with pytest.raises(InputError, match=r"drafter=repeat: unknown, .* repeats, did you mean repeats\?"):
        configure(drafter=["repeat"]).arms  # noqa: B018
