"""A sweep's job says in its own directory that it runs and how it ended, whatever launcher started it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from harness.config import read_config
from harness.errors import InputError
from harness.sweep.state import end_job, fingerprint, start_job


def note_job(composed: DictConfig, run_dir: Path, attempt: Callable[[], tuple[int, str | None]]) -> int:
    """Make the attempt between two notes; returns its exit code."""
    try:
        asked = fingerprint(read_config(composed).to_dict())
    except InputError:
        asked = ""  # the attempt says what is wrong
    start_job(run_dir, asked)
    started = time.monotonic()
    code, reason = attempt()
    end_job(run_dir, code, reason, time.monotonic() - started)
    return code
