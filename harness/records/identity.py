"""The run key: a hash of everything that changes a run's numbers, so that a directory never mixes two configurations.

The identity is a plain dictionary: the resolved configuration without settings that cannot change a number
(UNCHANGING), plus the prompts' and checkpoints' hashes. It is kept beside the key, so that a refusal can name the
differences. `harness.comparison.run_identity` builds it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.records.files import MANIFEST, RUN_KEY, replace_file
from harness.records.stored import read_object

VERSION = 2
#: The one list of settings that change neither a record nor a figure, each with everything below it. The run key, the
#: identity of a sweep's job and its fingerprint all leave them out.
UNCHANGING = (
    "tracking",  # mirrors the files
    "strict",  # sets the exit code alone
    "retry_errors",  # says when, not what
    "published",  # is shown beside the figures
    "plan",
    "share_device",
    "json",
    "sweep.objective",
    "sweep.trials",
    "hydra",
    "engine.start_timeout_s",
)
SHOWN_DIFFERENCES = 8

#: (an identity as it is kept, the version that wrote it, its run directory) -> the same as this code writes it.
Upgrade = Callable[[dict[str, Any], int, Path], dict[str, Any]]


class AnotherRun(InputError):
    """A run directory holds the records of another configuration; `differing` lists the differences."""

    def __init__(self, message: str, differing: str) -> None:
        super().__init__(message)
        self.differing = differing


def changes_nothing(key: str) -> bool:
    """Whether the setting `key`, dotted, is one of UNCHANGING or stands below one."""
    return any(key == one or key.startswith(f"{one}.") for one in UNCHANGING)


def semantic(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`config` without the settings that change nothing."""
    return {
        key: semantic(value, f"{path}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not changes_nothing(f"{path}{key}")
    }


def identity(config: Mapping[str, Any], checkpoints: Mapping[str, Any]) -> dict[str, Any]:
    """The identity: `config` without the settings that change nothing, and the checkpoints' identities."""
    return {"config": semantic(config), "checkpoints": dict(checkpoints)}


def run_key(identity: Mapping[str, Any]) -> str:
    """16 hex digits, the same for equal content in any order of keys; 0 and 0.0 are equal.

    Raises ValueError for NaN, infinities and values other than None, bool, numbers, str, list and dict.
    """
    text = json.dumps(_canonical(identity, ""), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def differing_keys(
    stored: Mapping[str, Any], given: Mapping[str, Any], *, not_yet_known: Collection[str] = ()
) -> list[str]:
    """`path: stored -> given` for every leaf that differs, in a stable order: settings first, single prompts last.

    Below the paths in `not_yet_known`, the given identity may lack leaves of the stored one.
    """
    old, new = dict(_leaves(_canonical(stored, ""))), dict(_leaves(_canonical(given, "")))
    missing = "(absent)"
    return [
        f"{'.'.join(path)}: {old.get(path, missing)} -> {new.get(path, missing)}"
        for path in sorted(old.keys() | new.keys(), key=lambda path: (len(path), path))
        if old.get(path, missing) != new.get(path, missing)
        and (path in new or not f"{'.'.join(path)}.".startswith(tuple(f"{one}." for one in not_yet_known)))
    ]


def claim(run_dir: Path, given: Mapping[str, Any], *, upgrade: Upgrade | None = None, records: bool = False) -> str:
    """Write the key into a fresh run directory, or check it against the one that is there; gives the key.

    `upgrade` reads the identity of a run that an earlier version began; such a run keeps its key. `records` means that
    the directory already holds records: without a readable key, they belong to this run only if its manifest says so.
    Raises AnotherRun that names the differing keys if the directory holds another configuration's run.
    """
    path = run_dir / RUN_KEY
    stored = _read(path)
    key = run_key(given)
    if stored is None:
        if records or path.exists():
            _check_manifest(run_dir, key)
        return _write(path, key, given)
    check(run_dir, given, upgrade=upgrade)
    return str(stored["run_key"]) if stored["version"] == VERSION else _write(path, stored["run_key"], given)


def check(
    run_dir: Path, given: Mapping[str, Any], *, upgrade: Upgrade | None = None, not_yet_known: Collection[str] = ()
) -> None:
    """Raise AnotherRun if `run_dir` holds a run that `given` does not continue.

    `not_yet_known` as in `differing_keys`.
    """
    stored = _read(run_dir / RUN_KEY)
    if stored is None:
        return
    kept = stored["identity"] if upgrade is None else upgrade(stored["identity"], stored["version"], run_dir)
    differing = differing_keys(kept, given, not_yet_known=not_yet_known)
    if differing:
        more = len(differing) - SHOWN_DIFFERENCES
        shown = "; ".join(differing[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
        raise AnotherRun(
            f"hydra.run.dir={run_dir} holds a run of another configuration (run key {stored['run_key']}). "
            f"It differs in {shown}. Expected the same configuration to continue it, or another hydra.run.dir",
            shown,
        )


def _write(path: Path, key: str, given: Mapping[str, Any]) -> str:
    content = {"version": VERSION, "run_key": key, "identity": _canonical(given, "")}
    replace_file(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return key


def _read(path: Path) -> dict[str, Any] | None:
    """The content of `path`, None if it is absent or damaged. Raises InputError if a later version wrote it."""
    stored = read_object(path, f"{MANIFEST} must name the run")
    if stored is None or not isinstance(stored.get("run_key"), str) or not isinstance(stored.get("identity"), dict):
        return None
    version = stored.get("version", 1)
    if version not in range(1, VERSION + 1):
        raise InputError(f"{path}: version={version}, expected {VERSION} or less: a later version wrote it")
    return {**stored, "version": version}


def _check_manifest(run_dir: Path, key: str) -> None:
    """Raise InputError unless the manifest has the same key: then a lost or damaged key file can be restored."""
    named = (read_object(run_dir / MANIFEST, "it cannot name the run") or {}).get("run_key")
    if named != key:
        raise InputError(
            f"{run_dir / RUN_KEY}: expected a JSON object with run_key and identity; the file is damaged or gone, and "
            f"{MANIFEST} does not show that the records are of this configuration. Expected another hydra.run.dir"
        )


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
