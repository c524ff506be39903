"""From a folder, a hub id or a built model to something the loop can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.base import Drafter
from drafters.checkpoint import read_config, resolve_folder
from drafters.mtp_checkpoint import load_strictly
from drafters.registry import build_drafter
from harness.errors import InputError
from harness.target import Target

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
TEXT_TYPES = ("gemma4_text", "gemma4_unified_text")
MULTIMODAL_TYPES = ("gemma4", "gemma4_unified")


def parse_dtype(name: str | torch.dtype) -> torch.dtype:
    if isinstance(name, torch.dtype):
        return name
    if name not in DTYPES:
        raise InputError(f"target.dtype is {name!r}, expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def parse_device(name: str | torch.device) -> torch.device:
    """The device, checked to exist here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"target.device is {name!r}, expected cpu, cuda, cuda:N or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"target.device is {name!r}, but this machine has no CUDA device; use cpu or auto")
    return device


def load_target(
    model: str | Path | Any,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    *,
    revision: str | None = None,
    **options: Any,
) -> Target:
    """A Gemma 4 target from a folder, a hub id, or an already built transformers model.

    A built model is used as it stands; device and dtype are then its own. Further options go to `from_pretrained`.
    Raises InputError when the folder, its config or a tensor is not usable.
    """
    if not isinstance(model, str | Path):
        return Target(model)
    key = "target.path"
    where, kind = parse_device(device), parse_dtype(dtype)
    folder = resolve_folder(str(model), key, revision)
    model_type = read_config(folder, key).get("model_type")
    if model_type not in TEXT_TYPES + MULTIMODAL_TYPES:
        raise InputError(
            f"{key}: model_type is {model_type!r}, expected a Gemma 4 model "
            f"({', '.join(TEXT_TYPES + MULTIMODAL_TYPES)})"
        )
    from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM

    auto_class = AutoModelForCausalLM if model_type in TEXT_TYPES else AutoModelForMultimodalLM
    loaded = load_strictly(folder, key, kind, auto_class, **options)
    if "device_map" not in options:
        loaded = loaded.to(where)
    return Target(loaded)


def load_drafter(name: str, model: str | Path | Any = None, *, target: Target, **options: Any) -> Drafter:
    """The drafter `name` for `target`, from a folder, a hub id or a built model; controls take None.

    Raises InputError for an unknown name or option, or when drafter and target do not fit each other.
    """
    return build_drafter(name, model, target.config.to_dict(), target.device, target.dtype, **options)
