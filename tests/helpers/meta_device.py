"""A device without storage, to test what a round asks of a GPU where there is none.

Tensors on torch's meta device have shapes and types and no values: whatever needs one on the host (`item`, `tolist`,
`nonzero`, a branch on a tensor) raises. What meta allows and a GPU's queue would wait for, data from or to another
device, `OneDevice` refuses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")

#: The shape, strides and type of a result by operation and arguments. Torch works each out in Python, layer by layer.
results: dict[Any, tuple[torch.Size, tuple[int, ...], torch.dtype]] = {}


class NoKeyError(Exception):
    """The result depends on more than shapes, types and numbers."""


def described(value: Any) -> Any:
    """A key for an argument: a tensor on the device by its form, everything else by its value."""
    if isinstance(value, Tensor):
        if value.device != DEVICE or not value.dim():
            raise NoKeyError
        return value.shape, value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple(described(part) for part in value)
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
        return type(value), value
    raise NoKeyError


def key_of(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What determines the result of an operation that neither writes nor shares storage; None for any other."""
    schema = function._schema
    if len(schema.returns) != 1 or any(part.alias_info for part in (*schema.arguments, *schema.returns)):
        return None
    try:
        return function, described(args), tuple((name, described(value)) for name, value in kwargs.items())
    except NoKeyError:
        return None


def devices(values: Any) -> set[str]:
    """The devices of all tensors in `values`; a number in a tensor's clothes has none."""
    return {leaf.device.type for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.dim()}


class OneDevice(TorchDispatchMode):
    """Counts operations, and refuses those that touch or make a tensor anywhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += 1
        key = key_of(function, args, kwargs)
        if key in results:
            size, stride, dtype = results[key]
            return torch.empty_strided(size, stride, dtype=dtype, device=DEVICE)
        out = function(*args, **kwargs)
        if elsewhere := devices((args, kwargs, out)) - {DEVICE.type}:
            raise AssertionError(f"{function} touches {', '.join(sorted(elsewhere))}")
        if key is not None and isinstance(out, Tensor) and out.device == DEVICE:
            results[key] = out.shape, out.stride(), out.dtype
        return out
