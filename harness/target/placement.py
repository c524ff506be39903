"""Where the parts of a model run, once accelerate has spread it over devices or offloaded some of it.

accelerate leaves a hook on each module it placed; a module without one runs where its weights are. Offloaded weights
lie on the meta device between calls, so that only the hook knows. The hook's attribute is private to accelerate
(`_hf_hook`, with `hooks`, `execution_device` and `offload`; tested with 1.15): without it every module would seem to
run where its weights are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from drafters.errors import InputError
from harness.target.tensor_parallel import processes_of


def hooks_of(module: nn.Module) -> Iterator[Any]:
    """accelerate's hooks on `module` itself."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        yield from getattr(hook, "hooks", (hook,))


def runs_on(module: nn.Module) -> torch.device:
    """The device that `module` computes on."""
    for part in module.modules():
        for hook in hooks_of(part):
            if getattr(hook, "execution_device", None) is not None:
                return _device(hook.execution_device)
    return next(chain(module.parameters(), module.buffers())).device


def is_offloaded(module: nn.Module) -> bool:
    """Whether any weight of `module` is fetched for each call."""
    return any(getattr(hook, "offload", False) for part in module.modules() for hook in hooks_of(part))


def _device(named: Any) -> torch.device:
    if isinstance(named, int):
        return torch.device("cuda", named)
    device = torch.device(named)
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a target's parts run. `layers` has a device per decoder layer, or is None where nothing was spread."""

    device: torch.device  # of embedding and head, where the loop and the drafters are
    layers: tuple[torch.device, ...] | None = None
    offloaded: int = 0  # layers whose weights are fetched for each pass
    processes: int = 1  # that share every layer (harness.target.tensor_parallel)

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Every device that computes, the loop's own first."""
        return tuple(dict.fromkeys((self.device, *(self.layers or ()))))

    @property
    def text(self) -> str:
        """The placement in words, as `cuda:0, cuda:1, 12 layers offloaded`."""
        more = [f"{self.offloaded} layers offloaded"] if self.offloaded else []
        more += [f"shared by {self.processes} processes"] if self.processes > 1 else []
        return ", ".join([*map(str, self.devices), *more])

    @property
    def is_spread(self) -> bool:
        return self.layers is not None or self.processes > 1


def placement_of(model: nn.Module, text_model: Any, head: nn.Module) -> Placement:
    """Where `model` runs.

    Raises InputError where embedding and head, which drafters borrow, are apart or offloaded.
    """
    embed = text_model.embed_tokens
    here, there = runs_on(embed), runs_on(head)
    if here != there:
        raise InputError(
            f"target.device_map has embed_tokens on {here} and lm_head on {there}, expected both on one device: they "
            "share their weights, and drafters use both"
        )
    if is_offloaded(embed) or is_offloaded(head):
        raise InputError(
            "target.device_map offloads embed_tokens or lm_head, expected both on a device: every draft needs them"
        )
    if not any(True for part in model.modules() for _ in hooks_of(part)):
        return Placement(here, processes=processes_of(model))
    layers = list(text_model.layers)
    return Placement(here, tuple(map(runs_on, layers)), sum(map(is_offloaded, layers)))
