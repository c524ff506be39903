"""`python -m harness`: one comparison, or with `-m` a sweep of them in this process.

Hydra composes the configuration; stdout gets each job's table and then one JSON line, stderr the progress. The exit
code is the worst of the jobs': see `harness.errors`.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from harness.config import RunConfig, read_config
from harness.entry import command, reason_of, say, tell, through_hydra
from harness.errors import EXIT_INTERRUPTED, EXIT_OK
from harness.launch.data_parallel import processes, run_split
from harness.launch.device_lock import choose_device, hold_device
from harness.launch.estimate import print_plan
from harness.launch.model_parallel import run_together
from harness.launch.resume import resume_hint
from harness.launch.state import Job, note_job, set_aside
from harness.launch.sweep import exit_codes as sweep_exit_codes
from harness.progress import warn
from harness.records.identity import AnotherRun
from harness.report.console import json_line, print_published, print_summary
from harness.run import Outcome, run
from harness.target.devices import parse_device
from harness.vocabulary import BASELINE, CONF

_exit_codes: list[int] = []


def run_job(composed: DictConfig) -> int:
    """One job, with everything that can go wrong turned into an exit code; a sweep's job leaves a note of it."""
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode != RunMode.MULTIRUN:
        return attempt(composed, run_dir)[0]
    say(f"job {run_dir.name}: {hydra_config.job.override_dirname}")
    launcher = str(hydra_config.launcher.get("_target_"))
    place = None if launcher.endswith("BasicLauncher") else int(hydra_config.job.num)
    return note_job(composed, run_dir, lambda: attempt(composed, run_dir, Path(hydra_config.sweep.dir), place))


def attempt(
    composed: DictConfig, run_dir: Path, sweep_dir: Path | None = None, place: int | None = None
) -> tuple[int, str | None]:
    """Run, and print what came out; the exit code and what went wrong. `place` spreads parallel jobs over devices."""
    hint = resume_hint(sys.argv[1:], sweep_dir or run_dir, sweep=sweep_dir is not None)
    try:
        config = read_config(composed)
        if config.plan:
            print_plan([(Job(0, []), config)])
            return EXIT_OK, None
        group = None if sweep_dir is None else sweep_dir.name
        config.target.device = choose_device(config.target.device, place)
        outcome = run_shared(config, run_dir, command=sys.argv, group=group)
        if outcome is None:  # another process of this run speaks for it
            return EXIT_OK, None
        show(outcome, [BASELINE, *(arm.name for arm in config.arms)])
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


def show(outcome: Outcome, order: list[str]) -> None:
    """The table, where there is anything to put into one, and the line for scripts."""
    if outcome.summary["rows"]:
        print_summary(outcome.summary, outcome.run_dir, order)
        print_published(outcome.summary, outcome.run_dir)
    print(json_line(outcome.run_dir, outcome.exit_code, outcome.summary, outcome.error), flush=True)


def run_shared(config: RunConfig, run_dir: Path, *, command: list[str], group: str | None) -> Outcome | None:
    """Run on a device that no other run is timing, alone or with the other processes of a launcher."""
    around = processes()
    if around.count > 1:
        many = run_split if config.target.tp_plan is None else run_together
        return many(around, config, run_dir, command=command, group=group)
    with hold_device(parse_device(config.target.device), share=config.share_device, wait=group is not None):
        try:
            return run(config, run_dir, command=command, group=group)
        except AnotherRun as error:
            if group is None:
                raise
            # A sweep's job is known by its overrides: the records of what it asked for before make room.
            aside = f"its earlier records are kept in {set_aside(run_dir)}"
            warn(f"job {run_dir.name} is run anew, it differs in {error.differing}; {aside}")
            return run(config, run_dir, command=command, group=group)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(composed: DictConfig) -> int:
    code = run_job(composed)
    _exit_codes.append(code)
    if code == EXIT_INTERRUPTED:
        # Out of Hydra at once: the rest of a sweep must not start.
        raise KeyboardInterrupt
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def catch_signals() -> None:
    """A scheduler's SIGTERM and a lost connection's SIGHUP deserve the same clean end as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Under nohup SIGHUP is ignored, and stays so; Windows has none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


@command
def main() -> int:
    """Run Hydra's job or jobs; returns the worst exit code."""
    catch_signals()
    try:
        code = through_hydra(job)
    except KeyboardInterrupt:
        if EXIT_INTERRUPTED not in _exit_codes:  # else its job has said so
            say("interrupted")
        return EXIT_INTERRUPTED
    # A sweep knows of jobs that ran in other processes and of those that were finished before.
    return sweep_exit_codes.pop() if sweep_exit_codes else max(_exit_codes, default=code)


if __name__ == "__main__":
    gc.freeze()  # what the libraries hold is never garbage, and to look at it again takes 0.3 s each time
    sys.exit(main())
