"""The first line of a run, before any library that decodes is loaded: target, arms, prompts, machine and folder."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from drafters.errors import InputError
from drafters.registry import kind_of
from harness.config import RunConfig, TargetConfig, read_config
from harness.config.arms import Arm
from harness.config.target import AUTO
from harness.records.cpus import usable_cpus
from harness.report.entry import say


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
    parts.append(", ".join(map(arm_words, config.arms)) or "baseline alone")
    parts.append(prompts_words(config))
    parts.append("sampling" if config.decoding.temperature else "greedy")
    parts.append(machine_words(config.target))
    if config.batch_size > 1:
        parts.append(f"batches of {config.batch_size}")
    return f"{' · '.join(parts)} -> {short(run_dir)}"


def arm_words(arm: Arm) -> str:
    """The arm with the k that is known before its checkpoint is read."""
    known = arm.num_draft_tokens or kind_of(arm.kind).default_k
    return f"{arm.name} k={known or 'block'}"


def prompts_words(config: RunConfig) -> str:
    limit = config.dataset.limit
    return f"{config.dataset.name}, {'all' if limit is None else limit} prompts"


def machine_words(target: TargetConfig) -> str:
    """The device as it is set; on a CPU the number of threads, or the most that it may choose from."""
    if target.device not in ("auto", "cpu"):
        return target.device
    if target.device == "auto" and Path("/proc/driver/nvidia").exists():
        return "gpu"
    asked = usable_cpus() if target.threads == AUTO else target.threads
    threads = os.environ.get("OMP_NUM_THREADS") or str(asked)
    return f"cpu, {threads} threads" if threads != "1" else "cpu, 1 thread"


def short(path: Path) -> str:
    """Relative to the current folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
