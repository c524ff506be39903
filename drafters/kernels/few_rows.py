"""Linear layers that multiply a round's few rows with a kernel of their own: compiled, on a GPU, where it is faster."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drafters.kernels.forwards import is_plain_linear, replace_forward

if torch.cuda.is_available():
    from drafters.kernels.row_kernels import product_of_few_rows

FEW = 16  # rows
LARGE = 2**22  # bytes of weights; below, starting a kernel is most of its time


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """`x` [..., H] times `weight` [N, H] transposed, [..., N]."""
    if torch.compiler.is_compiling() and x.numel() <= FEW * x.shape[-1] and suits(weight):
        return product_of_few_rows(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], -1)
    return F.linear(x, weight)


def suits(weight: Tensor) -> bool:
    """Whether the kernel reads `weight`: bf16 on a GPU, large enough, and with rows that start at 16 bytes."""
    large = weight.numel() * weight.element_size() >= LARGE
    return weight.is_cuda and weight.dtype == torch.bfloat16 and large and weight.shape[1] % 8 == 0


def _forward(layer: Any, x: Tensor) -> Tensor:
    return linear(x, layer.weight)


def read_for_few_rows(model: nn.Module, undo: ExitStack | None = None) -> None:
    """Let the plain linear layers of `model` use the kernel where it suits their weights.

    They do so until `undo` is closed, or for good.
    """
    module: Any
    for module in model.modules():
        if is_plain_linear(module) and suits(module.weight):
            replace_forward(module, _forward, undo)
