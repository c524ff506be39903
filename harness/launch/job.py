"""Runs one job of Hydra's on its device, alone or with the processes of a launcher; every failure is an exit code."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from drafters.errors import InputError
from harness.config import read_config
from harness.launch import live
from harness.launch.data_parallel import processes, run_data_parallel
from harness.launch.device_lock import choose_device, hold_device
from harness.launch.estimate import print_plan
from harness.launch.model_parallel import run_model_parallel
from harness.launch.objective import check_objective, objective_of
from harness.launch.restarts import run_restarts
from harness.launch.resume import resume_hint
from harness.launch.state import Job, end_job, fingerprint, set_aside, start_job
from harness.records.files import GENERATIONS
from harness.records.identity import AnotherRun
from harness.records.progress import warn
from harness.report.console import json_line, print_published, print_summary
from harness.report.entry import reason_of, say, tell
from harness.run import Outcome, run
from harness.target.devices import parse_device
from harness.vocabulary import BASELINE, EXIT_INTERRUPTED, EXIT_OK


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job writes. Of a sweep, also the sweep's folder, and its number among jobs that run in parallel."""

    run_dir: Path
    sweep_dir: Path | None = None
    number: int | None = None


def run_job(composed: DictConfig) -> tuple[int, float | None]:
    """Run one job; returns its exit code, and the value of its objective if it has one.

    A sweep's job leaves a note of its end in its folder.
    """
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode != RunMode.MULTIRUN:
        return attempt(composed, Place(run_dir))[0], None
    table = live.current
    if table is None or table.live is None:
        say(f"job {run_dir.name}: {hydra_config.job.override_dirname}")
    launcher = str(hydra_config.launcher.get("_target_"))
    number = None if launcher.endswith("BasicLauncher") else int(hydra_config.job.num)
    try:
        asked = fingerprint(read_config(composed))
    except InputError:
        asked = ""  # the attempt says what is wrong
    start_job(run_dir, asked)
    started = time.monotonic()
    if table is not None:
        table.begin(int(run_dir.name))
    code, reason = attempt(composed, Place(run_dir, Path(hydra_config.sweep.dir), number))
    seconds = time.monotonic() - started
    end_job(run_dir, code, reason, seconds)
    if table is not None:
        table.end(int(run_dir.name), "failed" if code else "done", reason, seconds)
    objective = composed.get("sweep", {}).get("objective")
    return code, None if objective is None else objective_of(objective, run_dir, code)


def attempt(composed: DictConfig, place: Place) -> tuple[int, str | None]:
    """Run and print the result; returns the exit code and the reason of a failure.

    The device is one that no other run is timing, unless the run shares it.
    """
    run_dir, sweep = place.run_dir, place.sweep_dir is not None
    hint = resume_hint(sys.argv, place.sweep_dir or run_dir, sweep=sweep)
    group = None if place.sweep_dir is None else place.sweep_dir.name
    outcome: Outcome | None
    try:
        config = read_config(composed)
        check_objective(config)
        if config.plan:
            print_plan([(Job(0, []), config)])
            return EXIT_OK, None
        config.target.device = choose_device(config.target.device, place.number)
        around = processes()
        if around.count > 1:
            refuse_restarts(around.count, config.restarts)
            run_shared = run_data_parallel if config.target.tp_plan is None else run_model_parallel
            outcome = run_shared(around, config, run_dir, command=sys.argv, group=group)
        else:
            with hold_device(parse_device(config.target.device), share=config.share_device, wait=sweep):
                decode = run if config.restarts == 1 else partial(run_restarts, plain_settings(composed))
                try:
                    outcome = decode(config, run_dir, command=sys.argv, group=group)
                except AnotherRun as other:
                    if not sweep:
                        raise
                    # A sweep's job is known by its overrides: the records of what it asked for before make room.
                    aside = f"its earlier records are kept in {set_aside(run_dir)}"
                    warn(f"job {run_dir.name} is run anew, it differs in {other.differing}; {aside}")
                    outcome = decode(config, run_dir, command=sys.argv, group=group)
        if outcome is not None and not outcome.decoded:
            say(f"complete, nothing decoded: {last_written(run_dir)}")
        if outcome is None:  # the first process of this run prints for it
            return EXIT_OK, None
        if live.current is None or live.current.live is None:  # there the job's row says it
            show(outcome, [BASELINE, *(arm.name for arm in config.arms)], json=config.json or not sys.stdout.isatty())
    except KeyboardInterrupt:
        say(f"interrupted: {hint}")
        return EXIT_INTERRUPTED, "interrupted"
    except SystemExit as stop:  # of a library: nothing of ours ends a process from within a run
        error = RuntimeError(f"a library ended the run with exit code {stop.code}")
        return tell(error.with_traceback(stop.__traceback__)), str(error)
    except Exception as error:
        return tell(error, hint), reason_of(error)
    if outcome.exit_code == EXIT_INTERRUPTED:
        say(f"interrupted: {hint}")
    elif outcome.error:
        say(f"error: {outcome.error}")
    return outcome.exit_code, outcome.error


def last_written(run_dir: Path) -> str:
    """When the records of a finished run were written, in local time."""
    written = datetime.fromtimestamp((run_dir / GENERATIONS).stat().st_mtime)
    return f"the records below were written by {written:%Y-%m-%d %H:%M}"


def plain_settings(composed: DictConfig) -> dict[str, Any]:
    """The job's own settings as plain values, without Hydra's."""
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def refuse_restarts(processes: int, restarts: int) -> None:
    """Raise InputError for restarts below a launcher, whose processes cannot be started anew from within."""
    if restarts > 1:
        raise InputError(f"restarts={restarts} with {processes} processes of a launcher: expected 1")


def show(outcome: Outcome, order: list[str], *, json: bool = True) -> None:
    """Print the table, where there is anything to put into one, and with `json` the line for scripts."""
    if outcome.summary["rows"]:
        print_summary(outcome.summary, outcome.run_dir, order)
        print_published(outcome.summary, outcome.run_dir)
    if json:
        print(json_line(outcome.run_dir, outcome.exit_code, outcome.summary, outcome.error), flush=True)
