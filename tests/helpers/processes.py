"""Commands in processes of their own, forked from one that has read the libraries: a start imports nothing.

The forked process is as fresh as a started one: what a test has loaded, or patched, is unknown to it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from runpy import run_module
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.helpers.preload"])
STREAMS = ("stdout", "stderr")


@dataclass
class Ended:
    returncode: int | None
    stdout: str
    stderr: str


class Started:
    """A process, and what it has written so far."""

    def __init__(self, process: ForkServerProcess, out: Path, err: Path) -> None:
        self.process, self.out, self.err = process, out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def wait(self) -> Ended:
        self.process.join()
        return Ended(self.process.exitcode, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))


def start(folder: Path, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Started:
    """`python -m module arguments` in `folder`, with `environment` added to this process's."""
    place = folder / f"process-{time.monotonic_ns()}"
    out, err = place.with_suffix(".out"), place.with_suffix(".err")
    given = {**os.environ, **(environment or {})}
    process = FORKS.Process(target=_redirected, args=(str(folder), given, str(out), str(err), module, arguments))
    process.start()
    return Started(process, out, err)


def _redirected(folder: str, environment: dict[str, str], out: str, err: str, module: str, arguments: Any) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    run_as_main(folder, module, *arguments)


def run_as_main(folder: str, module: str, *arguments: str) -> None:
    os.chdir(folder)
    sys.argv = [module, *arguments]
    run_module(module, run_name="__main__", alter_sys=True)


def together(folder: Path, count: int, function: Callable[..., None], *arguments: str) -> Ended:
    """torchrun with `count` processes of `function(*arguments)`; the exit code is that of the first which failed."""
    logs = folder / f"ranks-{time.monotonic_ns()}"
    specs = DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, monitor_interval=0.05, start_method="forkserver", logs_specs=specs,
    )  # fmt: skip
    code = 0
    with own_signals():
        try:
            elastic_launch(config, function)(*arguments)
        except ChildFailedError as failed:
            code = failed.get_first_failure()[1].exitcode
    said = ["".join(path.read_text(encoding="utf-8") for path in sorted(logs.rglob(f"{name}.log"))) for name in STREAMS]
    return Ended(code, *said)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Gives the signals back that are caught inside."""
    caught = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
