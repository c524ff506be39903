"""Linear layers that take a round's few rows through a kernel of their own where that is faster: compiled, on a GPU."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    """Whether the kernel is made for `weight`: bf16 on a GPU, worth it, and with rows that start at 16 bytes."""
    large = weight.numel() * weight.element_size() >= LARGE
    return weight.is_cuda and weight.dtype == torch.bfloat16 and large and weight.shape[1] % 8 == 0


def _forward(layer: Any, x: Tensor) -> Tensor:
    return linear(x, layer.weight)


def read_for_few_rows(model: nn.Module) -> None:
    """Let the linear layers of `model` that the kernel suits use it; those with a bias or a `forward` of their own, as
    joined ones have (harness.target.joined), stay."""
    for module in model.modules():
        if type(module) is nn.Linear and module.bias is None and "forward" not in vars(module) and suits(module.weight):
            own: Any = module
            own.forward = MethodType(_forward, module)
