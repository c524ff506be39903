"""`python -m harness`: one comparison, or with `-m` a sweep of them in this process.

Hydra composes the configuration; stdout gets each job's table and then one JSON line, stderr the progress. The exit
code is the worst of the jobs': see `harness.vocabulary`. A job alone loads torch, so that help and typos are answered
at once.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import FrameType

import hydra
from omegaconf import DictConfig

import harness.config.run  # noqa: F401  (gives Hydra the configuration's defaults)
from drafters.errors import InputError
from harness.launch import exit_codes
from harness.launch.first_line import say_first_line
from harness.records.progress import waiting
from harness.records.terminal import width_of
from harness.report.entry import command, say, through_hydra
from harness.vocabulary import CONF, EXIT_INTERRUPTED, EXIT_OK


@cache
def job_runner() -> Callable[[DictConfig], tuple[int, float | None]]:
    """`run_job`, with torch and all that a job needs loaded once. Frozen: a collection takes 0.3 s less."""
    from harness.launch.job import run_job

    gc.freeze()
    return run_job


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(composed: DictConfig) -> float:
    """One job of Hydra's: its exit code, or the value of `sweep.objective`, which a search maximises.

    Raises KeyboardInterrupt where it was interrupted.
    """
    say_first_line(composed)
    with waiting("loading libraries"):
        run_job = job_runner()
    code, objective = run_job(composed)
    exit_codes.jobs.append(code)
    if code == EXIT_INTERRUPTED:
        # Out of Hydra at once: the rest of a sweep must not start.
        raise KeyboardInterrupt
    return code if objective is None else objective


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def catch_signals() -> None:
    """A scheduler's SIGTERM and a lost connection's SIGHUP deserve the same clean end as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Under nohup SIGHUP is ignored, and stays so; Windows has none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def answered(arguments: Sequence[str]) -> bool:
    """Print the help or the versions where they are asked for. Raises InputError for an option that no run has."""
    if {"-h", "--help"} & set(arguments):
        from harness.launch.command.help import run_help

        print(run_help(width_of(sys.stdout)))
        return True
    if "--version" in arguments:
        from harness.launch.command.main import versions

        print(versions())
        return True
    from harness.launch.command.typos import unknown_option

    wrong = unknown_option(arguments)
    if wrong:
        raise InputError(wrong)
    return False


@command
def main() -> int:
    """Run Hydra's job or jobs; returns the worst exit code. Raises InputError for a command line it cannot read."""
    if answered(sys.argv[1:]):
        return EXIT_OK
    catch_signals()
    try:
        code = through_hydra(job)
    except KeyboardInterrupt:
        if EXIT_INTERRUPTED not in exit_codes.jobs:  # else its job has said so
            say("interrupted")
        return EXIT_INTERRUPTED
    except InputError as error:
        from harness.launch.command.typos import suggestion

        raise InputError(suggestion(sys.argv[1:], str(error)) or str(error)) from error
    return exit_codes.worst(code)


if __name__ == "__main__":
    sys.exit(main())
