"""Models at real shapes with random weights, built straight on the device.

They show a drafter's gain on this hardware before anything is downloaded: every pass costs as much as the real one, and
`synthetic_acceptance` decides how many drafts stand. All results are labelled synthetic.
Shapes are a config.json's, from a folder that needs no weights, or those that are published for the target's name.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from drafters.base import Drafter
from drafters.build import build_drafter
from drafters.checkpoints.files import read_model_config
from drafters.errors import InputError
from drafters.layouts.known import layout_of
from drafters.registry import kind_of
from harness.config import Arm, TargetConfig
from harness.config.synthetic import RANDOM
from harness.target import shapes
from harness.target.devices import parse_device, parse_dtype
from harness.target.files import empty_target, text_config_of
from harness.target.target import Target

STANDARD_DEVIATION = 0.02
TARGET_SEED, DRAFTER_SEED = 0, 1


# -- which shapes ------------------------------------------------------------------------------------------------------


def check_size(size: str) -> str:
    """The published spelling of `size`, in any case. Raises InputError for an unknown size."""
    for name in shapes.NAMES:
        if size.lower().replace("_", "-") == name.lower():
            return name
    raise InputError(f"size is {size!r}, expected one of {', '.join(shapes.NAMES)}")


def published_size(target: TargetConfig) -> str | None:
    """The published size that the target's name stands for, None for any other name."""
    return next((size for size in shapes.NAMES if target.name.replace("_", "-") == size.lower()), None)


def target_shapes(target: TargetConfig) -> dict[str, Any]:
    """The config.json of a target with random weights. Raises InputError where neither folder nor name has one."""
    size = published_size(target)
    if Path(str(target.path)).is_dir():
        return read_model_config(Path(str(target.path)), f"target.path={target.path}")
    if size is None:
        raise InputError(
            f"target.path={target.path}: no such folder, and target.weights=random downloads nothing; expected one "
            f"with a config.json, or target={', '.join(name.lower().replace('-', '_') for name in shapes.NAMES)}"
        )
    return shapes.target(size)


def drafter_shapes(arm: Arm, target: TargetConfig) -> dict[str, Any]:
    """The config.json of a drafter with random weights: its folder's, or the one published for the target's name.

    Raises InputError where neither has one.
    """
    key = f"drafters.{arm.name}.path"
    if arm.path is not None and Path(arm.path).is_dir():
        return read_model_config(Path(arm.path), f"{key}={arm.path}")
    size = published_size(target)
    published = shapes.drafter(arm.kind, size)
    if published is not None and arm.path in (None, target.drafters.get(arm.kind)):
        return published
    sizes, _ = shapes.DRAFTERS.get(arm.kind, (("no size",), None))
    raise InputError(
        f"{key}={arm.path}: drafters.{arm.name}.weights=random knows shapes of {arm.kind} for {', '.join(sizes)} alone "
        f"and downloads nothing; expected a folder with a config.json, or {arm.name} left out of drafter"
    )


def describe(raw: dict[str, Any], network: Any, dtype: torch.dtype, seed: int) -> dict[str, Any]:
    """The manifest's entry in place of a checkpoint's; `network` is the model of `raw`, without storage."""
    text = json.dumps(raw, sort_keys=True, default=str)
    count = sum(parameter.numel() for parameter in network.parameters())
    return {
        "weights": RANDOM,
        "weights_hash": hashlib.sha256(f"{RANDOM} {seed} {text}".encode()).hexdigest(),
        "weights_hash_kind": "sha256 of seed and config, as the weights are random",
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "parameters": count,
        "bytes": count * dtype.itemsize,
    }


# -- networks ----------------------------------------------------------------------------------------------------------


def target_network(raw: dict[str, Any]) -> Any:
    """The text part of a target on the meta device: names and shapes without storage."""
    return empty_target(text_config_of(raw, "target.path"), str(raw["model_type"]))


def drafter_network(raw: dict[str, Any], key: str = "drafters") -> Any:
    """A drafter's network of any layout on the meta device."""
    layout = layout_of(raw, key)
    with torch.device("meta"):
        return layout.build(layout.parse(raw, key))


def fill(module: Any, device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    """Give a module built on the meta device its storage and seeded random weights; norms scale by one."""
    module = module.to(dtype).to_empty(device=device).eval()
    generator = torch.Generator(device=device).manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                tensor.copy_(torch.arange(tensor.numel(), device=device).view(tensor.shape))
            elif tensor.dim() == 1 or "scal" in name:
                tensor.fill_(1.0)
            else:
                tensor.normal_(0.0, STANDARD_DEVIATION, generator=generator)
    return module


def filled(network: Any, device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    """A network of the meta device made real, heads tied where its config ties them."""
    # Buffers that no checkpoint holds (rotary frequencies, embedding scales) are computed where the model is built.
    with torch.device(device):
        computed = _computed_buffers(network)
    network = fill(network, device, dtype, seed)
    if hasattr(network, "tie_weights"):
        network.tie_weights()
    for name, buffer in computed.items():
        owner, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(owner), leaf, buffer)
    return network


def _computed_buffers(network: Any) -> dict[str, torch.Tensor]:
    """The non-persistent buffers of transformers' models, from the modules that compute them."""
    found = {}
    for name, module in network.named_modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            for leaf, buffer in type(module)(module.config).named_buffers():
                found[f"{name}.{leaf}"] = buffer
        elif hasattr(module, "scalar_embed_scale"):
            found[f"{name}.embed_scale"] = torch.tensor(module.scalar_embed_scale)
    return found


# -- targets and drafters ----------------------------------------------------------------------------------------------


def build_target(
    raw: dict[str, Any], device: torch.device, dtype: torch.dtype, *, execution: str = "auto", seed: int = TARGET_SEED
) -> Target:
    """The text part of a config.json with random weights, which no token ends."""
    model = filled(target_network(raw), device, dtype, seed)
    model.generation_config.eos_token_id = None
    return Target(model, execution)


def build_random_drafter(
    kind: str, raw: dict[str, Any], *, target: Target, seed: int = DRAFTER_SEED, **options: Any
) -> Drafter:
    """The drafter of a config.json with random weights. Raises InputError where the two do not fit."""
    model = filled(drafter_network(raw), target.device, target.dtype, seed)
    return build_drafter(kind, model, target.config.to_dict(), target.device, target.dtype, **options)


def random_target(
    size: str, device: str = "auto", dtype: str = "bfloat16", *, execution: str = "auto", seed: int = TARGET_SEED
) -> Target:
    """A Gemma 4 text model of a published `size` (E2B, E4B, 12B, 26B-A4B, 31B) with random weights."""
    where, kind = parse_device(device), parse_dtype(dtype)
    return build_target(shapes.text(check_size(size)), where, kind, execution=execution, seed=seed)


def random_drafter(name: str, size: str, *, target: Target, seed: int = DRAFTER_SEED, **options: Any) -> Drafter:
    """The drafter `name` as it is published for `size`, with random weights; controls need no size."""
    size = check_size(size)
    if not kind_of(name).trained:
        return build_drafter(name, None, target.config.to_dict(), target.device, target.dtype, **options)
    config = shapes.drafter(name, size)
    if config is None:
        raise InputError(f"drafter is {name!r}, but none is published for {size}")
    return build_random_drafter(name, config, target=target, seed=seed, **options)
