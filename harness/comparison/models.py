"""Models of a run. The target stays for the next job of the same process; drafters are loaded anew for each.

A sweep runs its jobs in one process, one after the other; consecutive jobs that share a target share its weights.
"""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from drafters.base import Drafter
from harness.comparison.plan import Plan
from harness.config import RunConfig, TargetConfig
from harness.config.synthetic import RANDOM
from harness.decoding import pool
from harness.decoding.auto import execution_of
from harness.metrics.guards import Guard
from harness.target.devices import dtype_of, parse_device, parse_dtype
from harness.target.load import load_drafter, load_target
from harness.target.random_weights import build_random_drafter, build_target
from harness.target.target import Target
from harness.vocabulary import HARNESS


@dataclass(slots=True)
class Held:
    """The target that was loaded last, and the key of its source."""

    key: str
    target: Target


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Facts of a target that a run needs, whether the harness or an engine holds its weights.

    `dtype` is a name; `execution`, `attention` and `placement` are words for the manifest, None where unknown.
    """

    device: torch.device
    dtype: str
    vocab_size: int
    max_positions: int
    eos_token_ids: tuple[int, ...]
    execution: str
    attention: str
    placement: str | None


@dataclass(slots=True)
class Models:
    """The loaded models of one run. `weight_bytes` is the device memory of each arm's drafter, 0 if not counted."""

    target: Target
    facts: TargetFacts
    drafters: dict[str, Drafter] = field(default_factory=dict)
    weight_bytes: dict[str, int] = field(default_factory=dict)
    #: Doubts about how they run.
    guards: list[Guard] = field(default_factory=list)


_held: Held | None = None


def load_models(config: RunConfig, plan: Plan, generations: int = 0) -> Models:
    """The run's target and one drafter per arm, for so many `generations`.

    Raises InputError for missing or misshapen tensors.
    """
    global _held
    transformers.utils.logging.disable_progress_bar()  # the run has a line of its own
    dtype = resolve_dtype(config.target, plan.target_config)
    device = parse_device(config.target.device)
    random = config.target.weights == RANDOM
    path, contents = str(config.target.path), plan.target_config if random else stamps(str(config.target.path))
    key = json.dumps([path, dtype, str(device), config.target.loading, contents], sort_keys=True)
    if _held is None or _held.key != key:
        if _held is not None:
            release()
        if random:
            built = build_target(plan.target_config, device, parse_dtype(dtype), execution=config.execution)
        else:
            options = {"execution": config.execution, **config.target.loading}
            built = load_target(path, device, dtype, **options)
        _held = Held(key, built)
    else:  # caches of the earlier job would count as this one's memory
        pool.clear(_held.target)
        free_memory()
    target = _held.target
    execution, doubt = execution_of(config, plan.target_config, target, generations)
    target.set_execution(execution)
    models = Models(target, facts_of(target, dtype), guards=[doubt] if doubt else [])
    for planned in plan.arms:
        arm = planned.arm
        if arm.engine != HARNESS:
            continue
        before = allocated_bytes(target.device)
        if arm.weights == RANDOM:
            assert planned.drafter is not None
            drafter = build_random_drafter(arm.kind, planned.drafter, target=target, **arm.options)
        else:
            drafter = load_drafter(arm.kind, arm.path, target=target, **arm.options)
        models.drafters[arm.name] = drafter
        models.weight_bytes[arm.name] = allocated_bytes(target.device) - before
    return models


def facts_of(target: Target, dtype: str) -> TargetFacts:
    """The facts of a loaded target; `dtype` as the run asked for it."""
    return TargetFacts(
        device=target.device,
        dtype=dtype,
        vocab_size=target.vocab_size,
        max_positions=target.max_positions,
        eos_token_ids=tuple(target.eos_token_ids),
        execution=target.execution,
        attention="grouped attention over a position-addressed cache",
        placement=target.placement.text,
    )


def stamps(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of every file of a local checkpoint: they change when another one takes its place."""
    files = [file for file in Path(path).glob("*") if file.is_file()] if Path(path).is_dir() else []
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def allocated_bytes(device: torch.device) -> int:
    """Device memory held by tensors now; 0 where the device does not count."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def settled_bytes(device: torch.device) -> int:
    """`allocated_bytes` without garbage, for which nobody looks (0.05 s) where the device does not count."""
    if device.type == "cuda":
        free_memory()
    return allocated_bytes(device)


def held_bytes() -> int:
    """Bytes of the target that this process holds from an earlier job."""
    parameters = [] if _held is None else _held.target.model.parameters()
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)


def release() -> None:
    """Release the held target, so that the next one can use its memory."""
    global _held
    _held = None
    free_memory()


def free_memory() -> None:
    """Return unreferenced device memory, as after an out-of-memory error."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def resolve_dtype(target: TargetConfig, checkpoint: dict[str, Any]) -> str:
    """`target.dtype`, where auto means the dtype that the checkpoint's config names."""
    return dtype_of(checkpoint) if target.dtype == "auto" else target.dtype
