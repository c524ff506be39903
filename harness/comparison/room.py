"""Does the run fit into its device's memory? Asked before anything large is downloaded or read."""

from __future__ import annotations

import torch

from harness.comparison.memory import Memory, estimate, shortage
from harness.comparison.models import held_bytes, resolve_dtype
from harness.comparison.plan import Plan
from harness.config.run import RunConfig, TargetConfig
from harness.errors import InputError
from harness.target.devices import parse_device, parse_dtype
from harness.target.files import is_quantized, text_config_of
from harness.vocabulary import HARNESS


def check_room(config: RunConfig, plan: Plan, longest_prompt: int) -> Memory | None:
    """The run's memory, estimated from the configs alone; None where they do not tell.

    That is a quantized target, whose files decide, one that processes share or that lies on disk, and arms of another
    engine. Raises InputError that says by how much the run is too large and what would help.
    """
    target = config.target
    devices = devices_of(target)
    if config.engine.runs_baseline or target.quantization or target.tp_plan or not devices:
        return None
    if is_quantized(text_config_of(plan.target_config, "target.path")):
        return None
    own = [planned for planned in plan.arms if planned.arm.engine == HARNESS]
    memory = estimate(
        plan.target_config,
        [("baseline", None, 0), *((planned.name, planned.drafter, planned.k) for planned in own)],
        parse_dtype(resolve_dtype(target, plan.target_config)),
        batch=config.batch_size,
        capacity=longest_prompt + config.max_new_tokens,
        sampling=not config.decoding.greedy,
    )
    # What this process holds of an earlier job is used again or let go.
    problem = shortage(memory, *devices, held=held_bytes())
    if problem is not None:
        raise InputError(problem)
    return memory


def spread_of(target: TargetConfig) -> str | None:
    """How the target will be spread, in words, as far as the configuration alone tells: `auto` may find one device."""
    if target.tp_plan is not None:
        return f"tp_plan={target.tp_plan}"
    named = sorted(set(map(str, target.device_map.values()))) if isinstance(target.device_map, dict) else []
    return " + ".join(named) if len(named) > 1 or "disk" in named else None


def devices_of(target: TargetConfig) -> list[torch.device]:
    """Whose memory the target may take; none where it may lie on disk, which has room enough."""
    if target.device_map is None:
        return [parse_device(target.device)]
    if isinstance(target.device_map, str):  # accelerate fills all GPUs, then the CPU's memory
        return [*(torch.device("cuda", index) for index in range(torch.cuda.device_count())), torch.device("cpu")]
    named = set(target.device_map.values())
    if "disk" in named:
        return []
    return [torch.device("cuda", one) if isinstance(one, int) else parse_device(one) for one in sorted(named, key=str)]
