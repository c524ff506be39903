"""`python -m harness`: one comparison, or with `-m` a sweep of them in this process.

Hydra composes the configuration; stdout gets each job's table and then one JSON line, stderr the progress. The exit
code is the worst of the jobs': see `harness.errors`.
"""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from harness.config import BASELINE, read_config
from harness.errors import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK, InputError
from harness.published_table import print_published
from harness.run import run
from harness.table import json_line, print_summary

CONF = Path(__file__).resolve().parent.parent / "conf"

_exit_codes: list[int] = []


def run_job(composed: DictConfig) -> int:
    """One job, with everything that can go wrong turned into an exit code."""
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    sweep = Path(hydra_config.sweep.dir) if hydra_config.mode == RunMode.MULTIRUN else None
    if sweep is not None:
        print(f"job {hydra_config.job.num}: {hydra_config.job.override_dirname}", file=sys.stderr, flush=True)
    try:
        config = read_config(composed)
        outcome = run(config, run_dir, command=sys.argv, group=sweep.name if sweep is not None else None)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_BAD_INPUT
    except Exception:
        traceback.print_exc()
        return EXIT_CRASH
    print_summary(outcome.summary, run_dir, [BASELINE, *(arm.name for arm in config.arms)])
    print_published(outcome.summary, run_dir)
    if outcome.error:
        print(f"error: {outcome.error}", file=sys.stderr, flush=True)
    print(json_line(run_dir, outcome.exit_code, outcome.summary, outcome.error), flush=True)
    return outcome.exit_code


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(composed: DictConfig) -> None:
    code = run_job(composed)
    _exit_codes.append(code)
    if code == EXIT_INTERRUPTED:
        # Out of Hydra at once: the rest of a sweep must not start.
        raise SystemExit(EXIT_INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run Hydra's job or jobs; returns the worst exit code."""
    # A scheduler's SIGTERM deserves the same clean end as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_CRASH
        # Hydra ends with 1 when it cannot compose what was asked for, which is bad input.
        return EXIT_BAD_INPUT if code == EXIT_CRASH and not _exit_codes else code
    return max(_exit_codes, default=EXIT_OK)


if __name__ == "__main__":
    sys.exit(main())
