"""Prints the jobs of a sweep with estimates of time and memory, from files alone: no weight is read.

Time is the mean of finished jobs of the same sweep where there are any. Otherwise it is the time to read the weights at
this processor's memory bandwidth, measured on the spot: decoding one prompt at a time cannot be faster. Other devices
have no estimate of time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from drafters.checkpoints.files import resolve_folder, weight_files
from drafters.errors import InputError
from harness.comparison.manifest import describe_random
from harness.comparison.plan import preflight
from harness.config import RunConfig
from harness.launch.state import Job, Sweep
from harness.target.devices import parse_device
from harness.tasks.dataset import load_prompts

PROBE_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """`generations` to decode, bytes of weights resident at once, seconds; each None if unknown."""

    generations: int | None
    weight_bytes: int | None
    seconds: float | None
    basis: str


def print_plan(jobs: Sequence[tuple[Job, RunConfig]], sweep: Sweep | None = None) -> None:
    """Print the table of jobs. The caller reports dropped ones."""
    # As Text: rich reads plain strings as markup, in which `drafter=[mtp,dflash]` loses its list.
    count = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
    table = Table(title=Text(count + (f" in {sweep.folder}" if sweep else "")))
    for name in ("job", "state", "overrides", "generations", "weights", "time"):
        table.add_column(name, overflow="fold")
    pace = seconds_per_generation(jobs, sweep)
    labels = sweep.labels() if sweep else {}
    for job, config in jobs:
        found = estimate_job(config, pace)
        cells = (
            str(job.job), job.state, labels.get(job.job, ""), _text(found.generations),
            f"{found.weight_bytes / 2**20:,.1f} MiB" if found.weight_bytes is not None else "?",
            f"{found.basis} {found.seconds:,.1f} s" if found.seconds is not None else "?",
        )  # fmt: skip
        table.add_row(*map(Text, cells))
    Console(width=140).print(table)


def estimate_job(config: RunConfig, pace: float | None = None) -> JobEstimate:
    """Estimate one job. `pace` is seconds per generation, from jobs that ran."""
    try:
        prompts = load_prompts(config.dataset, config.seed)
        turns = sum(len(prompt.turns) for prompt in prompts)
        generations = turns * (len(config.arms) + 1) * config.repeats
    except InputError:
        return JobEstimate(None, None, None, "")
    sizes = model_bytes(config)
    known = [size for size in sizes if size is not None]
    weights = sum(known) if len(known) == len(sizes) else None
    if pace is not None:
        return JobEstimate(generations, weights, generations * pace, "about")
    if sizes[0] is None or parse_device(config.target.device).type != "cpu":
        return JobEstimate(generations, weights, None, "")
    passes = turns * config.repeats * config.max_new_tokens / config.batch_size
    return JobEstimate(generations, weights, passes * sizes[0] / memory_bandwidth(), "at least")


def seconds_per_generation(jobs: Sequence[tuple[Job, RunConfig]], sweep: Sweep | None) -> float | None:
    """Mean over finished jobs of this sweep, their loading included; None if none is finished."""
    if sweep is None:
        return None
    measured = [
        job.seconds / found
        for job, config in jobs
        if job.state == "done" and job.seconds and (found := estimate_job(config, 0.0).generations)
    ]
    return sum(measured) / len(measured) if measured else None


def model_bytes(config: RunConfig) -> list[int | None]:
    """Bytes of the target's and of each trained drafter's weights; None if they are not on this machine."""
    random = {}
    if config.synthetic:
        try:
            random = {name: int(made["bytes"]) for name, made in describe_random(config, preflight(config)).items()}
        except InputError:
            return [None]
    target = random.get("target") or checkpoint_bytes(str(config.target.path))
    arms = (arm for arm in config.arms if arm.path or arm.name in random)
    return [target, *(random.get(arm.name) or checkpoint_bytes(str(arm.path)) for arm in arms)]


def checkpoint_bytes(path: str) -> int | None:
    """Size of a checkpoint's weight files; None if they are not on this machine."""
    try:
        folder = resolve_folder(path, "path", None, weights=False)
        return sum(file.stat().st_size for file in weight_files(folder, path))
    except (InputError, OSError):
        return None


_bandwidth: float | None = None


def memory_bandwidth() -> float:
    """Bytes per second at which this processor reads memory, measured once."""
    global _bandwidth
    if _bandwidth is None:
        block = torch.ones(PROBE_BYTES // 4)
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            block.sum()
            best = min(best, time.perf_counter() - started)
        _bandwidth = PROBE_BYTES / best
    return _bandwidth


def _text(value: int | None) -> str:
    return "?" if value is None else str(value)
