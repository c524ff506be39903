"""The wheel holds what a run needs, and nothing else: setuptools is asked for its files, and builds none."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

setuptools = pytest.importorskip("setuptools", minversion="77")

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("conf", "drafters", "harness", "hydra_plugins")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel() -> set[str]:
    """The paths in the wheel, but for its metadata."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        made: Any = setuptools.Distribution({"script_name": "setup.py"})
        made.parse_config_files(["pyproject.toml"])
        build = made.get_command_obj("build_py")
        build.build_lib = "wheel"
        build.ensure_finalized()
        build.data_files = build.get_data_files_without_manifest()  # a manifest would be written into the clone
        return {Path(path).relative_to("wheel").as_posix() for path in build.get_outputs(include_bytecode=False)}
    finally:
        os.chdir(before)


def in_tree() -> set[str]:
    """Every file of the packages in this tree."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_it_holds_every_file_of_the_packages(wheel: set[str]) -> None:
    assert sorted(in_tree() - wheel) == []


def test_it_holds_nothing_else(wheel: set[str]) -> None:
    assert {path.partition("/")[0] for path in wheel} == set(PACKAGES)


@pytest.mark.parametrize(
    "needed",
    [
        "conf/config.yaml",
        "conf/hydra/sweeper/drafthouse.yaml",
        "hydra_plugins/drafthouse_sweeper.py",
        "harness/assets/target/model.safetensors",
        "harness/assets/target/chat_template.jinja",
        "harness/assets/prompts.jsonl",
        "harness/decoding/compiled/kernels.cpp",
    ],
)
def test_what_a_first_run_reads_is_there(wheel: set[str], needed: str) -> None:
    assert needed in wheel


def test_templates_styles_and_scripts_of_the_page_are_there(wheel: set[str]) -> None:
    endings = {Path(path).suffix for path in wheel if path.startswith("harness/report/")}
    assert {".jinja", ".css", ".js"} <= endings


def test_its_command_is_a_function_that_exists() -> None:
    from pkgutil import resolve_name

    assert callable(resolve_name(PROJECT["project"]["scripts"]["drafthouse"]))
