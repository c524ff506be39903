"""A sweep's job says in its own directory that it runs and how it ended, whatever launcher started it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from omegaconf import DictConfig

from harness.config.run import read_config
from harness.errors import InputError
from harness.launch.state import JOB, end_job, fingerprint, start_job
from harness.records.files import GENERATIONS, RUN_KEY, SUPERSEDED
from harness.records.journal_files import open_locked


def note_job(composed: DictConfig, run_dir: Path, attempt: Callable[[], tuple[int, str | None]]) -> int:
    """Make the attempt between two notes; returns its exit code."""
    try:
        asked = fingerprint(read_config(composed))
    except InputError:
        asked = ""  # the attempt says what is wrong
    start_job(run_dir, asked)
    started = time.monotonic()
    code, reason = attempt()
    end_job(run_dir, code, reason, time.monotonic() - started)
    return code


def set_aside(run_dir: Path) -> Path:
    """Move a job's records of another configuration out of its way; gives the folder that holds them now.

    Raises InputError where another process is writing them.
    """
    if (run_dir / GENERATIONS).exists():
        open_locked(run_dir / GENERATIONS).close()
    shelf = run_dir.parent / SUPERSEDED
    aside = next(path for number in count(1) if not (path := shelf / f"{run_dir.name}-{number}").exists())
    aside.mkdir(parents=True)
    own = [path for path in run_dir.iterdir() if path.name not in (".hydra", JOB)]
    # Cut off anywhere, what is left is either the old run or no run: the records go first, their key last.
    for path in sorted(own, key=lambda path: (path.name != GENERATIONS, path.name == RUN_KEY)):
        path.rename(aside / path.name)
    return aside
