"""Compiles captured programs beside each other, one process per core."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from harness.records.cache import cache_dir
from harness.records.cpus import usable_cpus
from harness.vocabulary import PACKAGE

Done = Callable[[str | None], None]


class Workers:
    """Processes of `harness.decoding.compiled.worker`; they start with the first jobs and end with this context."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or usable_cpus()
        self.jobs: queue.Queue[tuple[Path, Done] | None] = queue.Queue()
        self.threads: list[threading.Thread] = []
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for _thread in self.threads:
            self.jobs.put(None)
        if kind is not None:
            for process in self.processes:
                process.kill()
        for thread in self.threads:
            thread.join()

    def submit(self, job: Path, done: Done) -> None:
        """Compile the folder `job`; `done` is called in another thread with None, or with the reason of a failure."""
        self.jobs.put((job, done))
        if len(self.threads) < self.count:
            self.threads.append(threading.Thread(target=self._serve, daemon=True))
            self.threads[-1].start()

    def _serve(self) -> None:
        process: subprocess.Popen[str] | None = None
        while (given := self.jobs.get()) is not None:
            job, done = given
            if process is None:
                process = self._start()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(f"{job}\n")
                process.stdin.flush()
                answer = process.stdout.readline().strip() or f"the compiling process ended with {process.wait()}"
            except OSError as error:
                answer = str(error)
            if process.poll() is not None:
                process = None
            done(None if answer == "done" else answer)
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            "TORCHINDUCTOR_CACHE_DIR": str(cache_dir("programs", "inductor")),  # what it found of the compiler
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.decoding.compiled.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.processes.append(process)
        return process
