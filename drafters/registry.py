"""Names to drafters: what a config may ask for, and how each is brought to life.

To add a drafter, write a class with the four calls of `drafters.base.Drafter` and add one line to `LOADERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from drafters.adaptive import OPTIONS, adapted
from drafters.base import Drafter
from drafters.checkpoints.dflash import load_dflash
from drafters.checkpoints.files import read_model_config, resolve_folder
from drafters.checkpoints.fit import check_block, check_fit, text_config
from drafters.checkpoints.mtp import load_assistant
from drafters.controls import OracleDrafter, PromptLookupDrafter, RandomDrafter
from drafters.dflash.drafter import DFlashDrafter
from drafters.errors import InputError
from drafters.kernels.few_rows import read_for_few_rows
from drafters.mtp import MTPDrafter

#: Drafters that are a trained network and so need a checkpoint.
TRAINED = ("mtp", "dflash")
#: Tokens a drafter proposes per round when nobody says otherwise; None: its block.
DEFAULT_DRAFT_TOKENS: dict[str, int | None] = {"mtp": 4, "dflash": None, "lookup": 4, "oracle": 4, "random": 4}


def _mtp(model: Any, target_config: Any, device: torch.device, dtype: torch.dtype, options: dict[str, Any]) -> Drafter:
    key = "drafters.mtp.path"
    if isinstance(model, str | Path):
        folder = resolve_folder(str(model), key)
        check_fit("mtp", read_model_config(folder, key), target_config, key)
        model = load_assistant(folder, key, device, dtype)
    else:
        check_fit("mtp", model.config.to_dict(), target_config, key)
    read_for_few_rows(model)
    return MTPDrafter(model, **options)


def _dflash(
    model: Any, target_config: Any, device: torch.device, dtype: torch.dtype, options: dict[str, Any]
) -> Drafter:
    key = "drafters.dflash.path"
    if isinstance(model, str | Path):
        folder = resolve_folder(str(model), key)
        check_fit("dflash", read_model_config(folder, key), target_config, key)
        model = load_dflash(folder, key, device, dtype)
    else:
        check_block(model.config, text_config(target_config), key)
    read_for_few_rows(model)
    return DFlashDrafter(model, **options)


LOADERS: dict[str, Callable[..., Drafter]] = {
    "mtp": _mtp,
    "dflash": _dflash,
    "lookup": lambda model, target_config, device, dtype, options: PromptLookupDrafter(**options),
    "oracle": lambda model, target_config, device, dtype, options: OracleDrafter(**options),
    "random": lambda model, target_config, device, dtype, options: RandomDrafter(**options),
}


def build_drafter(
    name: str, model: Any, target_config: Any, device: torch.device, dtype: torch.dtype, **options: Any
) -> Drafter:
    """The drafter `name`, with `model` a folder, a hub id, a built model, or None for a control.

    Trained drafters take the options of `drafters.adaptive` besides their own. Raises InputError for an unknown name,
    a missing model, an unknown option, or a pair that does not fit.
    """
    if name not in LOADERS:
        raise InputError(f"drafter is {name!r}, expected one of {', '.join(LOADERS)}")
    if name in TRAINED and model is None:
        raise InputError(f"drafters.{name}.path is not set, expected a checkpoint folder or a hub id")
    adapting = {key: options.pop(key) for key in OPTIONS if name in TRAINED and key in options}
    try:
        return adapted(LOADERS[name](model, target_config, device, dtype, options), adapting)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            option = str(error).split("'")[1]
        elif options and str(error).endswith("takes no arguments"):
            option = next(iter(options))
        else:
            raise
        raise InputError(f"drafters.{name}.{option} is no option of this drafter") from error


def resolve_draft_tokens(drafter: Drafter, asked: int | None) -> int:
    """k for `drafter`: what was asked for, else its default. Raises InputError for 0 or more than it can propose."""
    limit = drafter.max_draft_tokens
    default = DEFAULT_DRAFT_TOKENS.get(drafter.name, 4) or limit or 4
    k = default if asked is None else asked
    if k < 1:
        raise InputError(f"drafters.{drafter.name}.num_draft_tokens is {k}, expected at least 1")
    if limit is not None and k > limit:
        raise InputError(
            f"drafters.{drafter.name}.num_draft_tokens is {k}, expected at most {limit} "
            "(the most that one block of this checkpoint drafts)"
        )
    return k
