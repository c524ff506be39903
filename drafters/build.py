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
from drafters.plugins import check_attributes
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
        return construct(kind, (), options)
    if model is None:
        raise InputError(f"drafters.{name}.path is not set, expected a checkpoint folder or a hub id")
    network = _network(kind, model, target_config, device, dtype)
    limit, own = take_options(options, f"drafters.{name}")
    return construct(kind, (network,), own if limit is None else {**own, "limit": limit})


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


def construct(kind: Kind, arguments: tuple[Any, ...], options: dict[str, Any], key: str | None = None) -> Drafter:
    """The kind's class called with its options, the keys below `key`.

    Raises InputError naming an option that it does not take, and for whatever another package's class raises.
    """
    key = key or f"drafters.{kind.name}"
    try:
        drafter: Drafter = resolve(kind.drafter)(*arguments, **options)
    except InputError:
        raise
    except Exception as error:
        if option := _unknown_option(error, options):
            option = "stop" if option == "limit" else option
            raise InputError(f"{key}.{option} is no option of this drafter") from error
        if kind.source is None:
            raise
        raise InputError(f"{key}: {kind.drafter} cannot be made ({type(error).__name__}: {error})") from error
    if kind.source is not None:
        check_attributes(drafter, f"{key}: {kind.drafter}")
    return drafter


def _unknown_option(error: Exception, options: dict[str, Any]) -> str | None:
    """The option that a class refused with this error; None for another error."""
    if not isinstance(error, TypeError):
        return None
    if "unexpected keyword argument" in str(error):
        return str(error).split("'")[1]
    return next(iter(options), None) if str(error).endswith("takes no arguments") else None
