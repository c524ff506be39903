"""Runs a sweep from its list of overrides to its table: drop, skip, launch, gather."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from harness.comparison.plan import preflight
from harness.config import RunConfig, read_config
from harness.entry import say, tell
from harness.errors import EXIT_BAD_INPUT, EXIT_OK, InputError
from harness.launch import exit_codes
from harness.launch.estimate import print_plan
from harness.launch.gather import finish
from harness.launch.state import SWEEP, Job, Sweep, fingerprint, read_sweep, setting
from harness.metrics.summary import overall, read_summary
from harness.records.identity import changes_nothing


def launch(
    master: DictConfig,
    overrides: Sequence[list[str]],
    *,
    compose: Callable[[list[str]], DictConfig],
    start: Callable[[list[list[str]]], Sequence[Any]],
) -> Sequence[Any]:
    """Run the remaining jobs of a sweep. `start` is the launcher's: it takes the overrides of the jobs that fit."""
    folder = Path(str(master.hydra.sweep.dir))
    try:
        sweep = read_sweep(folder) if (folder / SWEEP).exists() else Sweep(folder)
    except InputError as error:
        say(f"error: {error}")
        exit_codes.sweeps.append(EXIT_BAD_INPUT)
        return []
    asked: list[tuple[Job, RunConfig | None]] = []
    for one in overrides:
        job = sweep.job_for(_identifying(one))
        asked.append((job, check(job, partial(compose, one))))
    sweep.refresh()
    for job, config in asked:
        if config is not None and job.state == "done" and (left := left_to_do(folder / str(job.job), config)):
            job.state, job.reason = "pending", left
    labels = sweep.labels()
    for job, _ in asked:
        if job.state == "dropped":
            say(f"dropped {job.job} ({labels[job.job]}): {job.reason}")
    if _wants_plan(master, asked):
        print_plan([(job, config) for job, config in asked if config is not None], sweep)
        exit_codes.sweeps.append(EXIT_OK)
        return []
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / "multirun.yaml")
    todo = [(job, one) for (job, _), one in zip(asked, overrides, strict=True) if job.state not in ("dropped", "done")]
    finished = sum(job.state == "done" for job, _ in asked)
    if finished:
        say(f"skipped {finished} finished jobs")
    sweep.write()
    results: Sequence[Any] = []
    code = EXIT_OK
    try:
        if todo:
            results = start([[*one, f"hydra.sweep.subdir={job.job}"] for job, one in todo])
            for result in results:
                code = max(code, _code_of(result))
    finally:
        sweep.refresh().write()
    if all(job.state == "dropped" for job, _ in asked):
        code = EXIT_BAD_INPUT
    code = max([code, *(job.exit_code or EXIT_OK for job, _ in asked if job.state == "failed")])
    finish(sweep)
    exit_codes.sweeps.append(code)
    return results


def check(job: Job, compose: Callable[[], DictConfig]) -> RunConfig | None:
    """The job's checked configuration; None for a job that does not fit, which is then dropped with its reason."""
    try:
        composed = compose()
        config = read_config(strip_hydra(composed))
        preflight(config)
    except InputError as error:
        job.state, job.reason, job.fingerprint = "dropped", str(error), None
        return None
    if job.state == "dropped":  # it fits now
        job.state, job.reason = "pending", None
    job.fingerprint = fingerprint(config)
    return config


def left_to_do(run_dir: Path, config: RunConfig) -> str | None:
    """The reason to run a finished job again: a setting that rejects part of its records; None if there is none."""
    try:
        rows = overall(read_summary(run_dir))
    except InputError as error:
        return str(error)
    if config.strict and any(row.get("verdict_mismatch") for row in rows):
        return "it holds a mismatch, which strict=true does not let pass"
    if config.retry_errors and any(row.get("errors") for row in rows):
        return "it holds errors, which retry_errors=true tries again"
    return None


def strip_hydra(composed: DictConfig) -> DictConfig:
    """The job's own keys, as Hydra hands them to the job."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _wants_plan(master: DictConfig, asked: Sequence[tuple[Job, RunConfig | None]]) -> bool:
    return bool(master.get("plan")) or any(config.plan for _, config in asked if config is not None)


def _identifying(overrides: Sequence[str]) -> list[str]:
    """Overrides that identify the job: those of planning, tracking or placing it do not."""
    return [one for one in overrides if not changes_nothing(setting(one))]


def _code_of(result: Any) -> int:
    try:
        value = result.return_value
    except Exception as error:  # the launcher's own failure, or a worker that died
        return tell(error)
    return value if isinstance(value, int) else EXIT_OK
