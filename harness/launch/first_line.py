"""The first line of a run, before any library that decodes is loaded: target, arms, prompts, machine and folder."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from drafters.registry import kind_of
from harness.config import RunConfig, read_config
from harness.entry import say
from harness.errors import InputError


def say_first_line(composed: DictConfig) -> None:
    """Print the line on stderr. A sweep's jobs have their own; a wrong configuration is the run's to refuse."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        return
    try:
        config = read_config(composed)
    except InputError:
        return
    if not config.plan:
        say(first_line(config, Path(hydra_config.runtime.output_dir)))


def first_line(config: RunConfig, run_dir: Path) -> str:
    """`gemma4 embedded · mtp k=4, dflash k=15 · gsm8k, 32 prompts · greedy · cpu -> outputs/...`, in one line."""
    parts = [config.target.name if config.target.name != "path" else str(config.target.path)]
    parts.append(", ".join(map(arm_words, arms_of(config))) or "baseline alone")
    parts.append(prompts_words(config))
    parts.append("sampling" if config.decoding.temperature else "greedy")
    parts.append(machine_words(config.target.device))
    if config.batch_size > 1:
        parts.append(f"batches of {config.batch_size}")
    return f"{' · '.join(parts)} -> {short(run_dir)}"


def arms_of(config: RunConfig) -> list[tuple[str, str, int | None]]:
    """Name, kind and set k of each arm."""
    return [(arm.name, arm.kind, arm.num_draft_tokens) for arm in config.arms]


def arm_words(arm: tuple[str, str, int | None]) -> str:
    """The arm with the k that is known before its checkpoint is read."""
    name, kind, k = arm
    known = k if k is not None else kind_of(kind).default_k
    return f"{name} k={known}" if known is not None else f"{name} k=block"


def prompts_words(config: RunConfig) -> str:
    limit = config.dataset.limit
    return f"{config.dataset.name}, {'all' if limit is None else limit} prompts"


def machine_words(device: str) -> str:
    """The device as it is set; on a CPU the number of threads."""
    if device not in ("auto", "cpu"):
        return device
    if device == "auto" and Path("/proc/driver/nvidia").exists():
        return "gpu"
    threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
    return f"cpu, {threads} threads" if threads != "1" else "cpu, 1 thread"


def short(path: Path) -> str:
    """Relative to the current folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
