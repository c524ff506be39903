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


def devices(values: Any) -> set[str]:
    """The devices of all tensors in `values`; a number in a tensor's clothes has none."""
    return {leaf.device.type for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.dim()}


class OneDevice(TorchDispatchMode):
    """Counts operations, and refuses those that touch or make a tensor anywhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.operations += 1
        if elsewhere := devices((args, kwargs, out)) - {DEVICE.type}:
            raise AssertionError(f"{function} touches {', '.join(sorted(elsewhere))}")
        return out
