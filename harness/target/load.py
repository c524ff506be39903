"""Loads targets and drafters from a folder, a hub id or a built model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from drafters.base import Drafter
from drafters.build import build_drafter
from drafters.checkpoints.files import read_model_config, refuse, resolve_folder
from drafters.checkpoints.mtp import load_strictly
from drafters.errors import InputError
from harness.target.devices import parse_device, parse_dtype
from harness.target.files import (
    KEY_MAPPING,
    check_loadable,
    empty_target,
    is_quantized,
    stored_text,
    target_problems,
    text_config_of,
)
from harness.target.target import Target
from harness.target.tensor_parallel import loading

log = logging.getLogger(__name__)


def load_target(
    model: str | Path | Any,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    *,
    revision: str | None = None,
    execution: str = "auto",
    **options: Any,
) -> Target:
    """A Gemma 4 target from a folder, a hub id, or an already built transformers model.

    Of a multimodal checkpoint only the text part is loaded. A built model is used as it stands; device and dtype are
    then its own. `execution` says how rounds run: eager, compile, cuda_graph or auto; compiled
    rounds hold copies of small weights, so load again after changing any. Further options go to `from_pretrained`:
    `attn_implementation`, `quantization_config`, `device_map` (several devices or offloading, through accelerate),
    `tp_plan="auto"` (tensor parallel, under torchrun). A token for the hub is taken from the environment only.

    Raises InputError when the folder, its config or a tensor is not usable; the files' headers are checked before any
    weight is read.
    """
    if not isinstance(model, str | Path):
        return Target(model, execution)
    key = "target.path"
    if "token" in options:
        raise InputError("target.token is no option: set HF_TOKEN in the environment, so that it is never written down")
    where, kind = parse_device(device), parse_dtype(dtype)
    folder = resolve_folder(str(model), key, revision)
    raw = read_model_config(folder, key)
    for note in check_loadable(raw, key, folder, where):
        log.warning("%s: %s: %s", key, folder, note)
    model_type = str(raw["model_type"])
    config = text_config_of(raw, key)
    empty: Any = empty_target(config, model_type, key)
    if not is_quantized(config):
        refuse(target_problems(empty, stored_text(folder, key)), f"{key}: {folder}")
    if (plan := options.pop("tp_plan", None)) is not None:
        options |= loading(plan, raw)
    spread = options.get("device_map")
    if not {"device_map", "distributed_config"} & options.keys():
        options["device_map"] = {"": where}
    try:
        loaded = load_strictly(folder, key, kind, type(empty), config=config, key_mapping=KEY_MAPPING, **options)
    except InputError as error:
        if spread is None:
            raise
        hint = "it must place every module, and embed_tokens and lm_head on one device, not offloaded"
        raise InputError(f"{error} (target.device_map is {spread}; {hint})") from error
    target = Target(loaded, execution)
    target.folder = folder
    return target


def load_drafter(name: str, model: str | Path | Any = None, *, target: Target, **options: Any) -> Drafter:
    """The drafter `name` for `target`, from a folder, a hub id or a built model; controls take None.

    Raises InputError for an unknown name or option, or when drafter and target do not fit each other.
    """
    return build_drafter(name, model, target.config.to_dict(), target.device, target.dtype, **options)
