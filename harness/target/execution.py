"""Chooses how a target's rounds are executed: eagerly, compiled, or as CUDA graphs."""

from __future__ import annotations

import torch

from drafters.errors import InputError
from harness.vocabulary import EXECUTIONS


def choose_execution(name: str, device: torch.device, spread: str | None = None) -> str:
    """The execution that `name` stands for on `device`: auto means CUDA graphs on CUDA and eager elsewhere.

    A target that is `spread` (where, in words) runs eagerly: the hooks that move tensors and weights between its
    modules can be neither compiled nor captured. Raises InputError for an execution that is not available there.
    """
    if name not in EXECUTIONS:
        raise InputError(f"execution is {name!r}, expected one of {', '.join(EXECUTIONS)}")
    if spread is not None:
        if name in ("auto", "eager"):
            return "eager"
        raise InputError(
            f"execution is {name!r}, but the target is spread by target.device_map or target.tp_plan ({spread}) and "
            "runs eagerly only; use execution=auto or eager"
        )
    if name == "auto":
        return "cuda_graph" if device.type == "cuda" else "eager"
    if name == "cuda_graph" and device.type != "cuda":
        raise InputError(f"execution is 'cuda_graph', but target.device is {device}; use eager, compile or auto")
    return name
