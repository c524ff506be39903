"""Estimates the bytes of a run from config.json alone and checks them against its device, before weights are read.

Weights are counted on the meta device, storage as `Target.new_cache` and the drafters allocate it. Activations,
kernel workspaces and CUDA's own context are rough estimates; they are small beside the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from drafters.checkpoints.files import Stored, stored_bytes
from drafters.dflash.config import DFlashConfig
from drafters.errors import InputError
from drafters.geometry import kv_geometry, text_config
from drafters.layouts.known import layout_of
from harness.comparison.models import held_bytes, resolve_dtype
from harness.comparison.plan import Plan
from harness.config import RunConfig, TargetConfig
from harness.decoding.decoder import PREFILL_CHUNK
from harness.target.cache import ring_slots
from harness.target.devices import parse_device, parse_dtype
from harness.target.files import empty_target, is_quantized, text_config_of
from harness.vocabulary import BASELINE, HARNESS

SLIDING = "sliding_attention"
GPU_RESERVE = 1_500_000_000  # CUDA's context, the allocator's slack and kernels' workspaces
DOUBLE = 8  # random numbers are kept in double precision


@dataclass(frozen=True, slots=True)
class ArmMemory:
    """Bytes that one arm adds: its drafter's weights and the state of its decoder."""

    name: str
    weights: int
    target_cache: int
    drafter_state: int

    @property
    def total(self) -> int:
        return self.weights + self.target_cache + self.drafter_state


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes a run needs on its device."""

    target_weights: int
    arms: tuple[ArmMemory, ...]
    activations: int

    @property
    def total(self) -> int:
        return self.target_weights + sum(arm.total for arm in self.arms) + self.activations

    def text(self) -> str:
        """One line: the total and its parts."""
        parts = [f"target {_gb(self.target_weights)}"]
        parts += [f"{arm.name} {_gb(arm.weights)}" for arm in self.arms if arm.weights]
        parts.append(f"keys and values {_gb(sum(arm.target_cache + arm.drafter_state for arm in self.arms))}")
        return f"{_gb(self.total)}: " + " + ".join([*parts, f"passes {_gb(self.activations)}"])


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def weight_bytes(module: torch.nn.Module, dtype: torch.dtype) -> int:
    """Bytes of a network without storage, once its floating tensors are `dtype`. Tied tensors count once."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * (dtype.itemsize if t.is_floating_point() else t.element_size()) for t in tensors)


def target_weight_bytes(raw: dict[str, Any], dtype: torch.dtype, stored: dict[str, Stored] | None = None) -> int:
    """Bytes of a target's text part. A quantized one is as large as its stored tensors, which must then be given."""
    config = text_config_of(raw, "target.path")
    if not is_quantized(config):
        return weight_bytes(empty_target(config, str(raw["model_type"])), dtype)
    if stored is None:
        raise InputError("target.path: a quantized checkpoint is as large as its files, which are not here")
    return stored_bytes(stored)


def target_cache_bytes(raw: dict[str, Any], dtype: torch.dtype, batch: int, capacity: int, k: int) -> int:
    """Bytes of one decoder's keys and values: whole runs in full layers, rings in sliding ones."""
    config = text_config(raw)
    shapes = kv_geometry(config)
    kinds = list(config["layer_types"])
    kept = kinds[: len(kinds) - int(config.get("num_kv_shared_layers") or 0)]
    ring = min(ring_slots(int(config["sliding_window"]), k + 1), capacity)
    slots = {kind: ring if kind == SLIDING else capacity for kind in shapes}
    rows = sum(slots[kind] * shapes[kind][0] * shapes[kind][1] for kind in kept)
    return 2 * batch * rows * dtype.itemsize


def context_bytes(config: DFlashConfig, dtype: torch.dtype, batch: int, capacity: int, k: int) -> int:
    """Bytes of a block drafter's context keys and values."""
    windows = [config.window(layer) for layer in range(config.num_hidden_layers)]
    slots = sum(capacity if window is None else min(window + k + 2, capacity) for window in windows)
    return 2 * batch * slots * config.num_key_value_heads * config.head_dim * dtype.itemsize


def drafter_weight_bytes(raw: dict[str, Any], dtype: torch.dtype) -> int:
    """Bytes of a drafter's network, of any layout. Tensors that a folder may leave out are counted as there."""
    layout = layout_of(raw, "drafters")
    with torch.device("meta"):
        return weight_bytes(layout.build(layout.parse(raw, "drafters")), dtype)


def arm_memory(
    name: str,
    drafter: dict[str, Any] | None,
    target: dict[str, Any],
    dtype: torch.dtype,
    batch: int,
    capacity: int,
    k: int,
) -> ArmMemory:
    """Bytes of the arm `name`; `drafter` is its config.json, None for the baseline and the controls."""
    cache = target_cache_bytes(target, dtype, batch, capacity, k)
    noise = 3 * batch * capacity * DOUBLE
    if drafter is None:
        return ArmMemory(name, 0, cache, noise)
    layout = layout_of(drafter, f"drafters.{name}.path")
    state, config = noise, layout.parse(drafter, f"drafters.{name}.path")
    if isinstance(config, DFlashConfig):
        state += context_bytes(config, dtype, batch, capacity, k)
    return ArmMemory(name, drafter_weight_bytes(drafter, dtype), cache, state)


def activation_bytes(raw: dict[str, Any], dtype: torch.dtype, batch: int, k: int, *, sampling: bool) -> int:
    """The largest temporary tensors: a prefill chunk through an MLP, or a round's logits and distributions."""
    config = text_config(raw)
    width = max(int(config["intermediate_size"]) * (2 if config.get("use_double_wide_mlp") else 1), 1)
    chunk = PREFILL_CHUNK * (3 * width + 8 * int(config["hidden_size"])) * dtype.itemsize
    vocab = int(config["vocab_size"])
    # Logits twice (before and after the soft-cap); under sampling p and q in single and their sums in double precision.
    per_token = 2 * dtype.itemsize + (2 * 4 + DOUBLE if sampling else 0)
    return max(chunk, batch * (k + 1) * vocab * per_token)


def estimate_memory(
    target: dict[str, Any],
    arms: Iterable[tuple[str, dict[str, Any] | None, int]],
    dtype: torch.dtype,
    *,
    batch: int,
    capacity: int,
    sampling: bool = False,
    stored: dict[str, Stored] | None = None,
) -> Memory:
    """Bytes of a run with these `arms` (name, drafter's config.json or None, k), each of which keeps its decoder.

    `capacity` is the longest prompt plus the new tokens. `stored` are the target's tensors; a quantized target needs
    them. Raises InputError for a config that cannot be read.
    """
    listed = list(arms)
    widest = max((k for _, _, k in listed), default=0)
    return Memory(
        target_weight_bytes(target, dtype, stored),
        tuple(arm_memory(name, raw, target, dtype, batch, capacity, k) for name, raw, k in listed),
        activation_bytes(target, dtype, batch, widest, sampling=sampling),
    )


def available_bytes(device: torch.device) -> int | None:
    """Free bytes on `device`, or None if unknown."""
    if device.type == "cuda":
        return max(torch.cuda.mem_get_info(device)[0] - GPU_RESERVE, 0)
    try:
        return int(psutil.virtual_memory().available)
    except OSError:  # a system that hides it
        return None


def shortage(memory: Memory, *devices: torch.device, held: int = 0) -> str | None:
    """One line that says by how much the run is too large for `devices` together, and the remedies; None if it fits.

    `held` bytes of the devices are the run's own already.
    """
    known = [free for free in map(available_bytes, devices) if free is not None]
    free = sum(known)
    if len(known) < len(devices) or memory.total <= free + held:  # with one unknown the sum is no sum
        return None
    where = " + ".join(map(str, devices))
    return (
        f"the run needs {memory.text()}; {where} has {_gb(free)} free. Lower batch_size or max_new_tokens, choose "
        "fewer arms, a smaller target.dtype or a quantized target, or spread the target with target.device_map=auto"
    )


def check_room(config: RunConfig, plan: Plan, longest_prompt: int) -> Memory | None:
    """The run's memory, estimated from the configs alone; None where they do not determine it.

    They do not for a quantized target, whose files decide, for one that processes share or that lies on disk, and for
    arms of another engine. Raises InputError that says by how much the run is too large, with the remedies.
    """
    target = config.target
    devices = devices_of(target)
    if config.engine.runs_baseline or target.quantization or target.tp_plan or not devices:
        return None
    if is_quantized(text_config_of(plan.target_config, "target.path")):
        return None
    own = [planned for planned in plan.arms if planned.arm.engine == HARNESS]
    memory = estimate_memory(
        plan.target_config,
        [(BASELINE, None, 0), *((planned.name, planned.drafter, planned.k) for planned in own)],
        parse_dtype(resolve_dtype(target, plan.target_config)),
        batch=config.batch_size,
        capacity=longest_prompt + config.max_new_tokens,
        sampling=not config.decoding.greedy,
    )
    # A target held from an earlier job is used again or released.
    problem = shortage(memory, *devices, held=held_bytes())
    if problem is not None:
        raise InputError(problem)
    return memory


def spread_of(target: TargetConfig) -> str | None:
    """The target's devices in words, as far as the configuration determines them: `auto` may find one device."""
    if target.tp_plan is not None:
        return f"tp_plan={target.tp_plan}"
    named = sorted(set(map(str, target.device_map.values()))) if isinstance(target.device_map, dict) else []
    return " + ".join(named) if len(named) > 1 or "disk" in named else None


def devices_of(target: TargetConfig) -> list[torch.device]:
    """The devices whose memory the target may take; none if it may lie on disk."""
    if target.device_map is None:
        return [parse_device(target.device)]
    if isinstance(target.device_map, str):  # accelerate fills all GPUs, then the CPU's memory
        return [*(torch.device("cuda", index) for index in range(torch.cuda.device_count())), torch.device("cpu")]
    named = set(target.device_map.values())
    if "disk" in named:
        return []
    return [torch.device("cuda", one) if isinstance(one, int) else parse_device(one) for one in sorted(named, key=str)]
