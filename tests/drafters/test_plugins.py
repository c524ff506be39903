"""Drafters of other packages: found by entry point or by class, refused in one line, known by their code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from drafters.build import build_drafter, construct
from drafters.errors import InputError
from drafters.plugins import offers, source_of
from drafters.registry import KINDS, Kind, find_kind, kind_of
from harness import generate
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.packages import Install, drafter

STRUCTURE = "dense_k_eq_v"
KEY = "drafters.mine.kind"


@pytest.fixture
def mine(install: Install) -> Path:
    """A package that offers the drafter `mine`."""
    record = 'record = Kind("mine", default_k=3, may_be_silent=True, low_because="it repeats one token")'
    return install("my-pkg", {"my_pkg/__init__.py": "", "my_pkg/mod.py": drafter(record)}, {"mine": "my_pkg.mod:Mine"})


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("name", ["mine", "my_pkg.mod:Mine"])
def test_a_drafter_is_built_by_its_entry_point_and_by_its_class(name: str) -> None:
    target = reference.target(STRUCTURE)
    built = build_drafter(name, None, target.config.to_dict(), target.device, target.dtype)
    found = generate(target, built, tiny.prompt(9), max_new_tokens=12, num_draft_tokens=5)
    assert found.token_ids == reference.answer(STRUCTURE, 9)[:12]
    assert {one.drafted for one in found.rounds[:-1]} == {5}


@pytest.mark.usefixtures("mine")
def test_its_record_gives_the_traits_and_the_config_gives_the_name() -> None:
    kind = find_kind("my_pkg.mod:Mine", KEY)
    assert (kind.name, kind.drafter, kind.title) == ("my_pkg.mod:Mine", "my_pkg.mod:Mine", "Mine")
    assert (kind.default_k, kind.may_be_silent, kind.low_because) == (3, True, "it repeats one token")
    assert kind_of("my_pkg.mod:Mine") is kind


@pytest.mark.usefixtures("mine")
def test_traits_are_unknown_until_a_config_asks_for_the_code() -> None:
    """The files of a run may name any module: reading them imports none."""
    assert kind_of("mine") == Kind("mine")
    assert kind_of("my_pkg.mod:Mine").source is None


def test_offers_are_listed_from_metadata_alone(install: Install) -> None:
    install("my-pkg", {"my_pkg.py": "raise SystemExit"}, {"mine": "my_pkg:Mine [extra]"}, summary="repeats a token")
    [offer] = offers()["mine"]
    assert (offer.code, offer.origin, offer.about) == ("my_pkg:Mine", "my-pkg 1.2", "repeats a token")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mien", f"{KEY}=mien: expected one of mtp, dflash, lookup, oracle, random, mine, or package.module:Class, "
                 "did you mean mine?"),
        ("my_pkg.mod.Mine", "or package.module:Class, did you mean my_pkg.mod:Mine?"),
        ("my_pkg.mod:", f"{KEY}=my_pkg.mod:: expected package.module:Class"),
        (":Mine", "expected package.module:Class"),
        ("my pkg:Mine", "expected package.module:Class"),
        ("my_pkg.mod:Mien", f"{KEY}=my_pkg.mod:Mien: my_pkg.mod has no Mien, did you mean Mine?"),
        ("my_pkg.gone:Mine", "my_pkg.gone cannot be imported (ModuleNotFoundError: No module named 'my_pkg.gone'), "
                             "expected a module of an installed package or of this folder"),
        ("my_pkg.mod:Mine.propose", "is of type function, expected a class"),
        ("my_pkg.other:Half", "the class has no propose and no observe, expected a drafter with the calls begin"),
        ("my_pkg.other:Words", "Words.record is of type dict, expected drafters.registry.Kind"),
        ("my_pkg.other:Trained", "Trained.record has one of load and check, expected both or neither"),
        ("my_pkg.other:Lost", "my_pkg.other has no nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_line(mine: Path, name: str, message: str) -> None:
    (mine / "my_pkg/other.py").write_text(
        "from drafters.registry import Kind\nfrom my_pkg.mod import Mine\n"
        "class Half:\n    begin = start = len\n"
        "class Words(Mine):\n    record = {}\n"
        "class Trained(Mine):\n    record = Kind('t', load='my_pkg.other:Half')\n"
        "class Lost(Mine):\n    record = Kind('t', costs='my_pkg.other:nowhere')\n"
    )
    with pytest.raises(InputError) as error:
        find_kind(name, KEY)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", ["1 / 0", "raise SystemExit(3)", "def broken(:", "raise ValueError('two\\nlines')"])
def test_an_entry_point_that_raises_is_one_line(install: Install, fault: str) -> None:
    install("my-pkg", {"my_pkg.py": fault}, {"mine": "my_pkg:Mine"})
    with pytest.raises(InputError, match=rf"{KEY}=mine: my_pkg cannot be imported \(\w+: .*\), expected") as error:
        find_kind("mine", KEY)
    assert "\n" not in str(error.value)


def test_a_name_that_two_packages_claim_is_given_to_neither(install: Install) -> None:
    for package in ("first", "second"):
        install(package, {f"{package}.py": drafter()}, {"mine": f"{package}:Mine"})
    with pytest.raises(InputError, match=r"first and second both offer .* kind: first:Mine or kind: second:Mine"):
        find_kind("mine", KEY)
    assert find_kind("second:Mine", KEY).drafter == "second:Mine"


def test_a_drafter_here_keeps_its_name(install: Install) -> None:
    install("my-pkg", {"my_pkg.py": drafter()}, {"mtp": "my_pkg:Mine"})
    assert find_kind("mtp") is KINDS["mtp"]


def test_the_error_of_a_constructor_is_one_line_with_the_arm(mine: Path) -> None:
    (mine / "picky.py").write_text(
        drafter("def __init__(self, depth=1):\n        assert depth > 0, 'depth is too small'")
        + "\n\nclass Bare(Mine):\n    @property\n    def taps(self):\n        raise AttributeError\n"
    )
    kind = find_kind("picky:Mine")
    with pytest.raises(InputError, match=r"drafters\.late: picky:Mine cannot be made \(AssertionError: depth is too"):
        construct(kind, (), {"depth": 0}, "drafters.late")
    with pytest.raises(InputError, match=r"drafters\.late\.breadth is no option of this drafter"):
        construct(kind, (), {"breadth": 0}, "drafters.late")
    with pytest.raises(InputError, match=r"drafters\.late: picky:Bare: the drafter has no taps, expected"):
        construct(find_kind("picky:Bare"), (), {}, "drafters.late")


def test_a_module_of_the_current_folder_is_found_behind_all_others(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in_this_folder.py").write_text(drafter())
    assert find_kind("in_this_folder:Mine").title == "Mine"
    assert sys.path[-1] == str(tmp_path)


# -- identity ----------------------------------------------------------------------------------------------------------


def test_changed_code_anywhere_in_the_package_is_another_source(mine: Path) -> None:
    found = find_kind("mine")
    assert found.source is not None
    assert {**found.source, "files_sha256": ""} == {
        "package": "my-pkg", "version": "1.2", "code": "my_pkg.mod:Mine", "files_sha256": "",
    }  # fmt: skip
    loaded = sys.modules["my_pkg.mod"].Mine
    before = source_of(loaded)
    (mine / "my_pkg/notes.txt").write_text("no code")
    assert source_of(loaded) == before
    (mine / "my_pkg/helper.py").write_text("DEPTH = 2\n")
    after = source_of(loaded)
    assert after["files_sha256"] != before["files_sha256"]
    assert str(mine) not in str(after)


def test_a_single_module_is_its_own_source(install: Install) -> None:
    site = install("my-pkg", {"alone.py": drafter(), "beside.py": ""})
    find_kind("alone:Mine")
    before = source_of(sys.modules["alone"].Mine)
    (site / "beside.py").write_text("changed = True\n")
    assert source_of(sys.modules["alone"].Mine) == before
    (site / "alone.py").write_text(drafter("depth = 2"))
    importlib.reload(sys.modules["alone"])
    assert source_of(sys.modules["alone"].Mine) != before


@pytest.mark.parametrize("name", KINDS)
def test_the_drafters_here_have_no_source_as_runs_know_them_by_commit(name: str) -> None:
    assert kind_of(name).source is None
