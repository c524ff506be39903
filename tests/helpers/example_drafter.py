"""The example package of `examples/`, installed without an installer."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.helpers.packages import DRAFTERS, write_dist_info

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "drafthouse_example_drafter"


def install_example(site: Path) -> None:
    """Write the metadata that an editable install leaves in `site`, as the package's own pyproject.toml declares it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    offered = project["entry-points"][DRAFTERS]
    write_dist_info(site, project["name"], offered, project["version"], project["description"])


def pairs_module() -> Any:
    """The module of its drafter, importable from now on."""
    with patch.object(sys, "path", [str(EXAMPLE), *sys.path]):
        return importlib.import_module("drafthouse_example_drafter.pairs")
