"""Reads the files of a run that can be restored: a damaged one is skipped with a warning.

The journals and the run key are the record. Every other file is derived from them, so damage to it must not stop a
command, and must not pass in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drafters.registry import remember
from harness.records.files import GENERATIONS, MANIFEST, RUN_KEY
from harness.records.progress import warn
from harness.vocabulary import BASELINE

_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Warn, the first time in this process: a file may be read several times."""
    if text not in _warned:
        _warned.add(text)
        warn(text)


def read_object(path: Path, instead: str) -> dict[str, Any] | None:
    """The JSON object in `path`; None if the file is absent or damaged.

    Damage is a warning that ends in `instead`: the consequence, or the source used in its place.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # not UTF-8, or not JSON
        warn_once(f"{path} is damaged ({error}): {instead}")
        return None
    if isinstance(found, dict):
        return found
    warn_once(f"{path} is damaged (expected a JSON object, found {type(found).__name__}): {instead}")
    return None


def read_manifest(run_dir: str | Path) -> dict[str, Any]:
    """`manifest.json`; if it is absent or damaged, the arms and settings of the run key; {} without either.

    The traits of other packages' drafters are known from then on (`drafters.registry.kind_of`).
    """
    folder = Path(run_dir)
    found = read_object(folder / MANIFEST, f"arms and settings are read from {RUN_KEY}")
    if found is not None:
        for arm in found.get("arms") or []:
            if isinstance(arm, dict) and "traits" in arm:
                remember(str(arm.get("kind")), arm["traits"])
        return found
    key, config = _key(folder)
    if key is None:
        return {}
    settings = {name: value for name, value in config.items() if name != "drafters"}
    about = {"run_key": key, "synthetic": config.get("synthetic")}
    return {**about, "arms": arms_of_key(folder), "config": settings, "attempts": []}


def arms_of_key(run_dir: Path) -> list[dict[str, Any]]:
    """The arms as the run key describes them, the baseline first; none without a key."""
    drafters = _key(run_dir)[1].get("drafters") or {}
    arms = [{"name": name, "num_draft_tokens": 0, **(about or {})} for name, about in drafters.items()]
    return sorted(arms, key=lambda arm: arm["name"] != BASELINE)


def _key(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The run key and the settings kept with it; (None, {}) without a key."""
    stored = read_object(folder / RUN_KEY, "its arms and settings are unknown") or {}
    identity = stored.get("identity")
    return stored.get("run_key"), dict((identity.get("config") or {}) if isinstance(identity, dict) else {})


def counted(run_dir: Path) -> tuple[int, int]:
    """Generations that a run's journal holds, and those that it was asked for; 0 of 0 before that is known."""
    try:
        manifest: Mapping[str, Any] = json.loads((run_dir / MANIFEST).read_text(encoding="utf-8"))
        settings = manifest["config"]
        repeats = int(settings.get("repeats") or 1) * int(settings.get("restarts") or 1)
        whole = int(manifest["prompts"]["turns"]) * len(manifest["arms"]) * repeats
        with (run_dir / GENERATIONS).open("rb") as file:
            return sum(1 for _ in file), whole
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, 0
