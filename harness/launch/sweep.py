"""Runs a sweep from its list of overrides to its table: drop, skip, launch, gather."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import RunConfig, read_config
from harness.launch import exit_codes
from harness.launch.estimate import print_plan
from harness.launch.gather import finish
from harness.launch.live import SweepTable
from harness.launch.objective import check_objective, objective_of
from harness.launch.search import best, search
from harness.launch.state import SWEEP, Job, Sweep, fingerprint, read_sweep, setting
from harness.metrics.summary import overall, read_summary
from harness.records.identity import changes_nothing
from harness.report.entry import say, tell
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_OK


def launch(
    master: DictConfig,
    overrides: Sequence[list[str]],
    *,
    compose: Callable[[list[str]], DictConfig],
    start: Callable[[list[list[str]]], Sequence[Any]],
) -> Sequence[Any]:
    """Run the remaining jobs of a sweep. `start` is the launcher's: it takes the overrides of the jobs that fit."""
    try:
        running = Running(master, compose, start)
    except InputError as error:
        return refuse(error)
    for one in overrides:
        running.ask(one)
    running.look_back()
    if running.plans:
        print_plan([(job, config) for job, config, _ in running.asked if config is not None], running.sweep)
        exit_codes.sweeps.append(EXIT_OK)
        return []
    with running.shown():
        results = running.decode(running.asked)
    running.conclude()
    return results


def launch_search(
    master: DictConfig,
    space: Sequence[Override],
    trials: int,
    *,
    compose: Callable[[list[str]], DictConfig],
    start: Callable[[list[list[str]]], Sequence[Any]],
) -> Sequence[Any]:
    """Run the jobs of a search (harness.launch.search), each chosen after the results of those before."""
    try:
        running = Running(master, compose, start)
        running.expected = trials
        if running.plans:
            say(f"search: up to {trials} jobs, each chosen after the results of those before; nothing to list yet")
            exit_codes.sweeps.append(EXIT_OK)
            return []
        with running.shown():
            found = search(space, trials, running.value_of)
    except InputError as error:
        return refuse(error)
    running.conclude()
    top, objective = best(found), master.sweep.objective
    if top is None:
        say(f"search: no job has a value of {objective}")
    else:
        varied = " ".join(one for one in top.overrides if not all(one in trial.overrides for trial in found))
        say(f"search: {objective} is {top.value:.4g} at best, with {varied}; {len(found)} jobs of {trials} trials")
    return []


def refuse(error: InputError) -> Sequence[Any]:
    """Say why nothing runs."""
    say(f"error: {error}")
    exit_codes.sweeps.append(EXIT_BAD_INPUT)
    return []


Asked = tuple[Job, RunConfig | None, list[str]]  # a job, its configuration if it fits, its overrides


class Running:
    """A sweep that is being run: the jobs that were asked for, and the worst of their exit codes.

    Raises InputError for a folder whose sweep cannot be read.
    """

    def __init__(
        self,
        master: DictConfig,
        compose: Callable[[list[str]], DictConfig],
        start: Callable[[list[list[str]]], Sequence[Any]],
    ) -> None:
        self.master, self.compose, self.start = master, compose, start
        self.folder = Path(str(master.hydra.sweep.dir))
        self.sweep = read_sweep(self.folder) if (self.folder / SWEEP).exists() else Sweep(self.folder)
        self.asked: list[Asked] = []
        self.code = EXIT_OK
        self.expected: int | None = None  # jobs, where not all are asked for yet
        self.table: SweepTable | None = None

    @property
    def plans(self) -> bool:
        """Whether the jobs are to be listed, and not run."""
        return bool(self.master.get("plan")) or any(config.plan for _, config, _ in self.asked if config is not None)

    def ask(self, overrides: list[str]) -> Asked:
        """Add the job of these overrides, checked."""
        job = self.sweep.job_for(_identifying(overrides))
        one = (job, check(job, partial(self.compose, overrides)), overrides)
        self.asked.append(one)
        return one

    def look_back(self) -> None:
        """Learn what earlier starts of this sweep finished, and say what does not fit."""
        self.sweep.refresh()
        for job, config, _ in self.asked:
            if config is not None and job.state == "done" and (left := left_to_do(self.folder / str(job.job), config)):
                job.state, job.reason = "pending", left
        labels = self.sweep.labels()
        for job, _, _ in self.asked:
            if job.state == "dropped":
                say(f"dropped {job.job} ({labels[job.job]}): {job.reason}")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the jobs while they run."""
        here = str(self.master.hydra.launcher.get("_target_")).endswith("BasicLauncher")
        self.table = SweepTable(self.sweep, here=here, expected=self.expected)
        with self.table.shown():
            yield

    def decode(self, asked: Sequence[Asked]) -> Sequence[Any]:
        """Run those of `asked` that are left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.master, self.folder / "multirun.yaml")
        todo = [(job, overrides) for job, _, overrides in asked if job.state not in ("dropped", "done")]
        finished = sum(job.state == "done" for job, _, _ in asked)
        if finished:
            say(f"skipped {finished} finished job{'' if finished == 1 else 's'}")
        self.sweep.write()
        if self.table is not None:
            self.table.add([job for job, _, _ in asked if job.state != "dropped"])
        results: Sequence[Any] = []
        try:
            if todo:
                results = self.start([[*one, f"hydra.sweep.subdir={job.job}"] for job, one in todo])
                for result in results:
                    self.code = max(self.code, _code_of(result))
        finally:
            self.sweep.refresh().write()
        return results

    def value_of(self, overrides: list[str]) -> float:
        """Run the job of `overrides`, unless it is finished; gives the value of its objective."""
        one = self.ask(overrides)
        job, config, _ = one
        self.look_back()
        if config is None or config.sweep.objective is None:
            return math.nan
        self.decode([one])
        code = EXIT_OK if job.state == "done" else job.exit_code or EXIT_CRASH
        return objective_of(config.sweep.objective, self.folder / str(job.job), code)

    def conclude(self) -> None:
        """Write the tables, and keep the exit code."""
        if all(job.state == "dropped" for job, _, _ in self.asked):
            self.code = EXIT_BAD_INPUT
        failed = [job.exit_code or EXIT_OK for job, _, _ in self.asked if job.state == "failed"]
        finish(self.sweep, next((config.tracking for _, config, _ in self.asked if config is not None), None))
        exit_codes.sweeps.append(max([self.code, *failed]))


def check(job: Job, compose: Callable[[], DictConfig]) -> RunConfig | None:
    """The job's checked configuration; None for a job that does not fit, which is then dropped with its reason."""
    try:
        composed = compose()
        config = read_config(strip_hydra(composed))
        preflight(config)
        check_objective(config)
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


def _identifying(overrides: Sequence[str]) -> list[str]:
    """Overrides that identify the job: those of planning, tracking or placing it do not."""
    return [one for one in overrides if not changes_nothing(setting(one))]


def _code_of(result: Any) -> int:
    try:
        value = result.return_value
    except Exception as error:  # the launcher's own failure, or a worker that died
        return tell(error)
    return value if isinstance(value, int) else EXIT_OK
