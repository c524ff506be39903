"""Paths and commands as others may read them: a page that is shared must not show where its machine keeps things."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.records.paths import each_path
from harness.vocabulary import PACKAGE, ROOT

#: A model of the hub in its cache: `models--google--gemma-4-31B-it/snapshots/...`.
HUB = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
#: Where a run's files go is the machine's affair, not the experiment's.
OUTPUT_KEYS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


def short_path(path: str) -> str:
    """A path relative to the repository where it lies inside, a hub model by its name, else the last part."""
    hub = HUB.search(path)
    if hub:
        return f"{hub[1]}/{hub[2]}"
    place = Path(path)
    if place.is_absolute() and place.is_relative_to(ROOT):
        return str(place.relative_to(ROOT))
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def without_places(text: str) -> str:
    """`text` with every absolute path shortened."""
    return each_path(text, lambda path: path if path.startswith("~") else short_path(path))


def web_folder(address: str, key: str = "--url") -> str:
    """The address of a folder on the web, with its last slash. Raises InputError naming `key`."""
    if not re.match(r"https?://[^\s/]", address):
        raise InputError(f"{key}={address}: expected an address that begins with https:// or http://")
    return address.rstrip("/") + "/"


def command_text(manifest: Mapping[str, Any]) -> str:
    """The command of a run as a shell takes it, without its output folder and without absolute paths; empty if unknown.

    A path below the repository is written as it is called from there, any other by its last part.
    """
    command: Sequence[str] = [str(part) for part in manifest.get("command") or []]
    if not command:
        return ""
    program, *arguments = command
    kept = [part for part in arguments if part.lstrip("+").partition("=")[0] not in OUTPUT_KEYS]
    return shlex.join([*_program(program), *map(without_places, kept)])


def _program(program: str) -> list[str]:
    """`.../harness/__main__.py` as `python -m harness`, any other by its name."""
    place = Path(program)
    if place.suffix == ".py" and PACKAGE.name in place.parts:
        module = place.with_suffix("").parts
        module = module[len(module) - 1 - module[::-1].index(PACKAGE.name) :]
        return ["python", "-m", ".".join(part for part in module if part != "__main__")]
    if place.name == PACKAGE.name:
        return ["python", "-m", PACKAGE.name]
    return shlex.split(place.name)  # `drafthouse compare` is one word of the record
