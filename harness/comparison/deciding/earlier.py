"""Earlier runs of the same identity on this machine: the variation from run to run that one process cannot show.

Each run leaves the decode speedups of its processes in the machine's cache, and takes those of earlier runs into its
own directory, so that its summary can be built again anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.metrics.pairing import process_speedups
from harness.records.cache import cache_dir
from harness.records.files import EARLIER, replace_file
from harness.records.frames import read_generations
from harness.records.identity import run_key
from harness.records.machine import cpu_name
from harness.records.progress import warn
from harness.records.stored import read_object

FOLDER = "runs"
MOST_RUNS = 50  # kept of one identity, the latest
#: Settings that change how much is decoded, and not how fast.
AMOUNTS = ("repeats", "restarts", "until")


def take_earlier(run_dir: Path, identity: Mapping[str, Any], gpu: str | None) -> None:
    """Write what other runs of this identity measured on this machine into `run_dir`."""
    found = _read(_file(identity, gpu))
    others = {folder: run for folder, run in found.items() if folder != str(run_dir.resolve())}
    replace_file(run_dir / EARLIER, json.dumps({"runs": list(others.values())}, indent=1) + "\n")


def leave_behind(run_dir: Path, identity: Mapping[str, Any], gpu: str | None) -> None:
    """Keep the speedups of this run's processes for later runs. A cache that cannot be written costs a warning."""
    try:
        file = _file(identity, gpu)
        if file is None:
            return
        known = _read(file)
        known.pop(str(run_dir.resolve()), None)
        known[str(run_dir.resolve())] = {"speedups": process_speedups(read_generations(run_dir))}
        latest = dict(list(known.items())[-MOST_RUNS:])
        replace_file(file, json.dumps({"runs": latest}, indent=1) + "\n")
    except OSError as error:
        warn(f"this run's speedups are not kept for later runs: {error}")


def _file(identity: Mapping[str, Any], gpu: str | None) -> Path | None:
    config = {key: value for key, value in identity["config"].items() if key not in AMOUNTS}
    key = run_key({**identity, "config": config, "machine": [cpu_name(), gpu]})
    try:
        return cache_dir(FOLDER) / f"{key}.json"
    except InputError as error:
        warn(f"earlier runs are unknown: {error}")
        return None


def _read(file: Path | None) -> dict[str, Any]:
    stored = None if file is None else read_object(file, "earlier runs are unknown")
    runs = (stored or {}).get("runs")
    return runs if isinstance(runs, dict) else {}
