"""Does the run fit into its device's memory? Asked before anything large is downloaded or read."""

from __future__ import annotations

from harness.config import RunConfig
from harness.engines.config import HARNESS
from harness.errors import InputError
from harness.load import parse_device, parse_dtype
from harness.memory import Memory, available_bytes, estimate, shortage
from harness.models import held_bytes, resolve_dtype
from harness.preflight import Plan
from harness.target_files import is_quantized, text_config_of


def check_room(config: RunConfig, plan: Plan, longest_prompt: int) -> Memory | None:
    """The run's memory, estimated from the configs alone; None where they do not tell.

    That is a quantized target, whose files decide, one that is spread over devices, and arms of another engine.
    Raises InputError that says by how much the run is too large and what would help.
    """
    target = config.target
    if config.engine.runs_baseline or target.quantization or target.device_map or target.tp_plan:
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
    device = parse_device(target.device)
    problem = shortage(memory, device)
    # What this process holds of an earlier job is used again or let go.
    if problem is not None and memory.total > (available_bytes(device) or 0) + held_bytes():
        raise InputError(problem)
    return memory
