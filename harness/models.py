"""Models of a run, loaded once and kept for the next job of the same process.

A sweep runs its jobs in one process, one after the other; consecutive jobs that share a target share its weights.
"""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from drafters.base import Drafter
from drafters.fit import text_config
from harness.config import RunConfig, TargetConfig
from harness.load import load_drafter, load_target, parse_device
from harness.preflight import Plan
from harness.target import Target


@dataclass(slots=True)
class Held:
    """One target and the drafters loaded for it."""

    key: str
    target: Target
    drafters: dict[str, Drafter] = field(default_factory=dict)


_held: Held | None = None


def load_models(config: RunConfig, plan: Plan) -> tuple[Target, dict[str, Drafter]]:
    """The run's target and one drafter per arm. Raises InputError where a checkpoint does not hold what it should."""
    global _held
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    dtype = resolve_dtype(config.target, plan.target_config)
    device = parse_device(config.target.device)
    key = json.dumps([config.target.path, dtype, str(device)])
    if _held is None or _held.key != key:
        release()
        _held = Held(key, load_target(str(config.target.path), device, dtype))
    drafters: dict[str, Drafter] = {}
    for planned in plan.arms:
        arm = planned.arm
        # Arms never share an instance: a drafter holds the state of the prompt it is decoding.
        name = json.dumps([arm.name, arm.kind, arm.path, arm.options], sort_keys=True, default=str)
        if name not in _held.drafters:
            _held.drafters[name] = load_drafter(arm.kind, arm.path, target=_held.target, **arm.options)
        drafters[arm.name] = _held.drafters[name]
    return _held.target, drafters


def release() -> None:
    """Let go of whatever is held, so that its memory can be used by the next target."""
    global _held
    _held = None
    free_memory()


def free_memory() -> None:
    """Return unreferenced device memory, as after an out-of-memory error."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def resolve_dtype(target: TargetConfig, checkpoint: dict[str, Any]) -> str:
    """`target.dtype`, where auto means the dtype that the checkpoint's config names (float32 when it names none)."""
    if target.dtype != "auto":
        return target.dtype
    named = [config.get(key) for config in (checkpoint, text_config(checkpoint)) for key in ("dtype", "torch_dtype")]
    return next((str(name).removeprefix("torch.") for name in named if name), "float32")
