"""Shared by every benchmark: alternating repeats, ratios, and a result file named by content, machine and date."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from harness.records.machine import cpu_name
from harness.records.paths import without_places

RESULTS = Path(__file__).parent / "results"


def hardware() -> dict[str, Any]:
    """The machine, its threads, and its load before the benchmark: timings on a busy machine mislead."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """`count` processes that compute without end."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the load average is {load:.1f}; timings can be off by a factor of two", file=sys.stderr)


def alternate(cases: dict[str, Callable[[], Any]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of every case, one list entry per repeat. Every second repeat runs in reverse order, so that drift of the
    machine falls on all cases alike."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(warm_up):
        for run in cases.values():
            run()
    names = list(cases)
    for repeat in range(repeats):
        for name in names if repeat % 2 == 0 else reversed(names):
            started = time.perf_counter()
            cases[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
            print(f"  repeat {repeat + 1}/{repeats}  {name:28s} {seconds[name][-1]:8.3f} s", file=sys.stderr)
    return seconds


def ratio(seconds: dict[str, list[float]], slower: str, faster: str) -> dict[str, float]:
    """Median, least and greatest of the repeat-by-repeat ratios `slower` / `faster`."""
    ratios = [a / b for a, b in zip(seconds[slower], seconds[faster], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def arguments(description: str, **extra: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves the default")
    parser.add_argument("--name", default="", help="a further word in the result file's name")
    for name, options in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    parsed = parser.parse_args()
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    return parsed


def machine(hardware: dict[str, Any]) -> str:
    """The GPU or else the CPU as part of a file name: `intel-xeon` for "Intel(R) Xeon(R) Processor"."""
    name = re.sub(r"\((r|tm)\)|\bprocessor\b|\bcpu\b|@.*", " ", (hardware["gpu"] or hardware["cpu"]).lower())
    return "-".join(re.findall(r"[a-z0-9]+", name))


def keep(benchmark: str, result: dict[str, Any], hardware: dict[str, Any], what: str) -> Path:
    """Write `results/BENCHMARK/WHAT-MACHINE-DATE.json` with the command that made it, and return its path.

    `benchmark` is the module below `benchmarks`, its last name BENCHMARK. A later result of the same content, machine
    and day takes the place of the earlier one. Paths are shortened as in `harness.records.paths`.
    """
    today = datetime.date.today().isoformat()
    command = " ".join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]])
    name = benchmark.rpartition(".")[2]
    path = RESULTS / name / f"{what}-{machine(hardware)}-{today}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": name, "command": command, "date": today, "hardware": hardware, **result}
    path.write_text(json.dumps(without_places(record), indent=1) + "\n", encoding="utf-8")
    print(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path
