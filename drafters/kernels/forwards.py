"""Replaces how single modules of a loaded model compute, and undoes it.

This is the only file that sets `forward` on a module of transformers'. Weights, names and the module's class stay, so
checkpoints, hooks and `state_dict` see no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import MethodType
from typing import Any

from torch import Tensor, nn

Forward = Callable[[Any, Tensor], Tensor]


def replace_forward(module: nn.Module, function: Forward, undo: ExitStack | None = None) -> None:
    """Let `module(x)` compute `function(module, x)` until `undo` is closed, or for good."""
    own: Any = module
    own.forward = MethodType(function, module)
    if undo is not None:
        undo.callback(delattr, module, "forward")


def is_plain_linear(module: Any) -> bool:
    """Whether `module` is a linear layer without bias whose forward is still its own.

    Quantization, accelerate and `replace_forward` give a module another class or another forward.
    """
    return type(module) is nn.Linear and module.bias is None and "forward" not in vars(module)
