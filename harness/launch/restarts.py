"""Runs one comparison in several fresh processes, one after the other, each into the same run directory.

A process of its own allocates, compiles and warms up anew, so the run's intervals hold for the next run, too. The
parent loads no weights: it hands each process the configuration on its standard input, and the last one writes the
whole summary.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from harness.comparison.schedule import Share
from harness.config import RunConfig, TrackingConfig, read_config
from harness.metrics.summary import read_summary
from harness.report.entry import say, tell
from harness.run import Outcome, run
from harness.vocabulary import EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK


def run_restarts(
    composed: Mapping[str, Any],
    config: RunConfig,
    run_dir: Path,
    *,
    command: Sequence[str] = (),
    group: str | None = None,
) -> Outcome:
    """Decode in `config.restarts` processes; `composed` is the configuration as plain values.

    Stops at the first process that fails. Raises KeyboardInterrupt once an interrupted process has written its part.
    """
    code, error = EXIT_OK, None
    for process in range(config.restarts):
        say(f"process {process + 1} of {config.restarts}")
        task = {"config": composed, "device": config.target.device, "run_dir": str(run_dir), "process": process}
        code, error = start({**task, "command": list(command), "group": group})
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code != EXIT_OK:
            error = f"process {process + 1} of {config.restarts}: {error}"
            break
    return Outcome(run_dir, code, read_summary(run_dir), error)


def start(task: Mapping[str, Any]) -> tuple[int, str | None]:
    """One process from its start to its end; gives its exit code and error.

    It has a session of its own, so that an interruption reaches it once, from here.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "harness.launch.restarts"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(json.dumps(task))
    except KeyboardInterrupt:
        child.terminate()
        child.communicate()
        raise
    lines = said.strip().splitlines()
    try:
        ended = json.loads(lines[-1])
        return int(ended["exit_code"]), ended["error"]
    except (IndexError, ValueError, KeyError, TypeError):
        return child.returncode or EXIT_CRASH, "it ended without a result"


def work(task: Mapping[str, Any]) -> tuple[int, str | None]:
    """The part of one process: its repeats of every prompt."""
    try:
        config = read_config(dict(task["config"]))
        config.target.device = task["device"]
        if task["process"] + 1 < config.restarts:  # only the whole run is mirrored
            config = replace(config, tracking=TrackingConfig())
        share = Share(process=task["process"])
        outcome = run(config, Path(task["run_dir"]), command=task["command"], group=task["group"], share=share)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED, "interrupted"
    except Exception as error:
        return tell(error), str(error)
    return outcome.exit_code, outcome.error


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Read the task from stdin, decode, and print how it ended as the last line."""
    signal.signal(signal.SIGTERM, _interrupt)
    task = json.load(sys.stdin)
    code, error = work(task)
    print(json.dumps({"exit_code": code, "error": error}), flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
