"""From a kind's name and a checkpoint to a drafter that is ready for `begin`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.adaptive import take_options
from drafters.base import Drafter
from drafters.checkpoints.files import read_model_config, resolve_folder
from drafters.checkpoints.fit import check_fit
from drafters.errors import InputError
from drafters.kernels.few_rows import read_for_few_rows
from drafters.registry import Kind, find_kind, resolve


def build_drafter(
    name: str, model: Any, target_config: Any, device: torch.device, dtype: torch.dtype, **options: Any
) -> Drafter:
    """The drafter `name`, with `model` a folder, a hub id, a built model, or None for a control.

    `target_config` is the target's config.json or its text part. Trained drafters take the options of
    `drafters.adaptive` besides their own. Raises InputError for an unknown name, a missing model, an unknown option, or
    a pair that does not fit.
    """
    kind = find_kind(name)
    if not kind.trained:
        return _construct(kind, (), options)
    if model is None:
        raise InputError(f"drafters.{name}.path is not set, expected a checkpoint folder or a hub id")
    network = _network(kind, model, target_config, device, dtype)
    limit, own = take_options(options, f"drafters.{name}")
    return _construct(kind, (network,), own if limit is None else {**own, "limit": limit})


def _network(kind: Kind, model: Any, target_config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The network of a trained kind, checked against the target's config before any weight is read."""
    key = f"drafters.{kind.name}.path"
    if isinstance(model, str | Path):
        folder = resolve_folder(str(model), key)
        check_fit(kind.name, read_model_config(folder, key), target_config, key)
        model = resolve(str(kind.load))(folder, key, device, dtype)
    else:
        check_fit(kind.name, model.config, target_config, key)
    read_for_few_rows(model)
    return model


def _construct(kind: Kind, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The kind's class called with its options. Raises InputError naming an option that it does not take."""
    try:
        return resolve(kind.drafter)(*arguments, **options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            option = str(error).split("'")[1]
        elif options and str(error).endswith("takes no arguments"):
            option = next(iter(options))
        else:
            raise
        option = "stop" if option == "limit" else option
        raise InputError(f"drafters.{kind.name}.{option} is no option of this drafter") from error
