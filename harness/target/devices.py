"""Reads the names of devices and dtypes that configurations use."""

from __future__ import annotations

from typing import Any

import torch

from drafters.errors import InputError
from drafters.geometry import text_config

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def parse_dtype(name: str | torch.dtype) -> torch.dtype:
    """The dtype called `name`. Raises InputError for any that targets do not run in."""
    if isinstance(name, torch.dtype):
        return name
    if name not in DTYPES:
        raise InputError(f"target.dtype is {name!r}, expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def dtype_of(checkpoint: dict[str, Any]) -> str:
    """The dtype that a config.json names, float32 where it names none."""
    named = [config.get(key) for config in (checkpoint, text_config(checkpoint)) for key in ("dtype", "torch_dtype")]
    return next((str(name).removeprefix("torch.") for name in named if name), "float32")


def parse_device(name: str | torch.device, key: str = "target.device") -> torch.device:
    """The device called `name`, with `auto` for CUDA where this machine has it.

    Raises InputError, naming the configuration's `key`, for a device that does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"{key} is {name!r}, expected cpu, cuda, cuda:N or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{key} is {name!r}, but this machine has no CUDA device; use cpu or auto")
    return device
