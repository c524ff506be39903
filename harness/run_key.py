"""The key of what changes a run's numbers, so that one run directory never mixes two configurations.

The identity is a plain dictionary: the resolved configuration without what cannot change a number (trackers, output
paths), plus the checkpoints' revisions or hashes. Its hash is the run key; the identity itself is kept beside it, so
that a refusal can name what differs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.run_files import RUN_KEY, replace_file

# `strict` sets the exit code and `tracking` mirrors the files: neither changes a number.
NOT_SEMANTIC = ("tracking", "strict", "hydra", "plan", "share_device")
SHOWN_DIFFERENCES = 8


def identity(
    config: Mapping[str, Any], checkpoints: Mapping[str, Any], without: Collection[str] = NOT_SEMANTIC
) -> dict[str, Any]:
    """What changes the numbers: `config` less the top-level keys in `without`, and the checkpoints' identities."""
    kept = {key: value for key, value in config.items() if key not in without}
    return {"config": kept, "checkpoints": dict(checkpoints)}


def run_key(identity: Mapping[str, Any]) -> str:
    """16 hex digits, the same for equal content whatever the order of keys; 0 and 0.0 are equal.

    Raises ValueError for a value that has no stable text (anything but None, bool, numbers, str, list, dict; NaN).
    """
    text = json.dumps(_canonical(identity, ""), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def differing_keys(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """`path: stored -> given` for every leaf that differs, in a stable order."""
    old, new = dict(_leaves(_canonical(stored, ""))), dict(_leaves(_canonical(given, "")))
    missing = "(absent)"
    return [
        f"{'.'.join(path)}: {old.get(path, missing)} -> {new.get(path, missing)}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path, missing) != new.get(path, missing)
    ]


def claim(run_dir: Path, given: Mapping[str, Any]) -> str:
    """Write the key into a fresh run directory, or check it against the one that is there; gives the key.

    Raises InputError that names the differing keys when the directory holds another configuration's run.
    """
    key = run_key(given)
    path = run_dir / RUN_KEY
    if path.exists():
        stored = _read(path)
        if stored["run_key"] != key:
            differing = differing_keys(stored["identity"], given)
            shown = "; ".join(differing[:SHOWN_DIFFERENCES])
            more = len(differing) - SHOWN_DIFFERENCES
            raise InputError(
                f"hydra.run.dir={run_dir} holds a run of another configuration (run key {stored['run_key']}, "
                f"this one is {key}). It differs in {shown}{f'; and {more} more' if more > 0 else ''}. "
                "Expected the same configuration to continue it, or another hydra.run.dir"
            )
        return key
    content = {"run_key": key, "identity": _canonical(given, "")}
    replace_file(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return key


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(stored["run_key"], str) and isinstance(stored["identity"], dict):
            return dict(stored)
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path}: expected a JSON object with run_key and identity; the file is damaged")


def _canonical(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}={value}: a run key needs finite numbers")
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _canonical(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise ValueError(f"{path}: {type(value).__name__} has no place in a run key, expected plain values")


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, json.dumps(value, ensure_ascii=False)
