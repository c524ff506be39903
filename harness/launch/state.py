"""The state of a sweep's jobs, kept in its directory.

`sweep.json` holds every job with its overrides and is written by the launching process alone. Each job writes
`job.json` in its own directory, so that jobs on other machines need share nothing but the file system.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from drafters.checkpoints.files import weight_files
from drafters.errors import InputError
from harness.config import RunConfig
from harness.records.files import GENERATIONS, RUN_KEY, SUMMARY_JSON, SUPERSEDED, replace_file, sha256_of
from harness.records.identity import semantic
from harness.records.journal_files import open_locked
from harness.target.weights import hash_weights
from harness.vocabulary import EXIT_INTERRUPTED, EXIT_OK

SWEEP = "sweep.json"
JOB = "job.json"
STATES = ("done", "running", "failed", "pending", "dropped")
NOTED = ("done", "running", "failed")  # what a job says of itself
_hashes: dict[tuple[Any, ...], dict[str, str]] = {}  # of weight files, by their names, sizes and times


@dataclass(slots=True)
class Job:
    """One job of a sweep. `job` names its folder and stays with its overrides; `reason` says why it is not done."""

    job: int
    overrides: list[str]
    state: str = "pending"
    reason: str | None = None
    fingerprint: str | None = None
    exit_code: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state={self.state}: expected one of {', '.join(STATES)}")


@dataclass(slots=True)
class Sweep:
    """All jobs of one sweep directory."""

    folder: Path
    jobs: list[Job] = field(default_factory=list)

    def write(self) -> None:
        content = {"schema": 1, "jobs": [asdict(job) for job in self.jobs]}
        replace_file(self.folder / SWEEP, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def job_for(self, overrides: list[str]) -> Job:
        """The job with these overrides in any order: the number it had before, or the next free one."""
        for job in self.jobs:
            if in_order(job.overrides) == in_order(overrides):
                return job
        job = Job(max((job.job for job in self.jobs), default=-1) + 1, overrides)
        self.jobs.append(job)
        return job

    def labels(self) -> dict[int, str]:
        """Each job by the overrides that not all jobs share."""
        shared = set.intersection(*(set(job.overrides) for job in self.jobs)) if len(self.jobs) > 1 else set()
        return {job.job: " ".join(one for one in job.overrides if one not in shared) for job in self.jobs}

    def refresh(self) -> Sweep:
        """Take over the notes that the jobs wrote."""
        for job in self.jobs:
            if job.state != "dropped":
                _refresh(job, self.folder / str(job.job))
        return self


def read_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`, with the current state of each job. Raises InputError if there is none."""
    path = folder / SWEEP
    if not path.exists():
        raise InputError(f"{folder}: no {SWEEP}, expected the directory of a sweep (hydra.sweep.dir)")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        sweep = Sweep(folder, [Job(**job) for job in stored])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a JSON object with jobs, the file is damaged ({error})") from error
    return sweep.refresh()


def setting(override: str) -> str:
    """The dotted setting that an override sets: `hydra.launcher` for `+hydra/launcher=joblib`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")


def in_order(overrides: Sequence[str]) -> list[str]:
    """`overrides` in an order that equal jobs share; of several for one setting, the last.

    The order is kept where a whole mapping is set beside a part of it: only there it matters.
    """
    last = list({setting(one): one for one in overrides}.values())
    mappings = [f"{setting(one)}." for one in last if one.partition("=")[2].startswith("{")]
    return last if any(setting(one).startswith(tuple(mappings)) for one in last) else sorted(last)


def start_job(run_dir: Path, fingerprint: str) -> None:
    """Note in `run_dir` that this process runs the job."""
    run_dir.mkdir(parents=True, exist_ok=True)
    _write(run_dir, {"state": "running", "fingerprint": fingerprint, "pid": os.getpid(), "host": socket.gethostname(),
                     "started": _now()})  # fmt: skip


def end_job(run_dir: Path, exit_code: int, reason: str | None, seconds: float) -> None:
    """Note how the job ended. Any exit code but 0 is a failure."""
    note = read_note(run_dir) or {}
    note |= {"state": "done" if exit_code == EXIT_OK else "failed", "exit_code": exit_code, "reason": reason}
    _write(run_dir, note | {"seconds": seconds, "ended": _now()})


def read_note(run_dir: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((run_dir / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and note.get("state") in NOTED else None


def set_aside(run_dir: Path) -> Path:
    """Move a job's records of another configuration out of its way; returns the folder that holds them now.

    Raises InputError while another process writes them.
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


def fingerprint(config: RunConfig) -> str:
    """A hash of a job's settings, of its prompt file and of its local checkpoints; equal for equal jobs.

    Checkpoints of a hub do not change and enter by name.
    """
    path = Path(str(config.dataset.path))
    content = sha256_of(path) if path.is_file() else None
    models = {"target": config.target.path, **{arm.name: arm.path for arm in config.arms}}
    weights = {name: weights_of(Path(path)) for name, path in models.items() if path and Path(path).is_dir()}
    text = json.dumps([semantic(config.to_dict()), content, weights], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_of(folder: Path) -> dict[str, str] | None:
    """The hashes of a checkpoint's weights, None if there are none. Each is read once while its file stays the same."""
    try:
        files = weight_files(folder, str(folder))
        seen = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        if seen not in _hashes:
            _hashes[seen] = hash_weights(files)
        return _hashes[seen]
    except (InputError, OSError):
        return None


def _refresh(job: Job, run_dir: Path) -> None:
    note = read_note(run_dir)
    if note is None or (job.fingerprint and note.get("fingerprint") != job.fingerprint):
        job.state, job.reason = "pending", job.reason if job.state == "failed" else None
        return
    job.exit_code, job.seconds = note.get("exit_code"), note.get("seconds")
    job.state, job.reason = note["state"], note.get("reason")
    if job.exit_code == EXIT_INTERRUPTED:
        job.state, job.reason = "pending", "interrupted; the same command continues it"
    elif job.state == "running" and not _alive(note):
        job.state, job.reason = "pending", "stopped before its end; the same command continues it"
    elif job.state == "done" and not (run_dir / SUMMARY_JSON).exists():
        job.state, job.reason = "pending", f"its {SUMMARY_JSON} is gone"


def _alive(note: Mapping[str, Any]) -> bool:
    if note.get("host") != socket.gethostname():
        return True  # a process of another machine cannot be checked
    try:
        return psutil.pid_exists(int(note["pid"]))
    except (KeyError, TypeError, ValueError):
        return False


def _write(run_dir: Path, note: Mapping[str, Any]) -> None:
    replace_file(run_dir / JOB, json.dumps(note, indent=1, ensure_ascii=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
