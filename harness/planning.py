"""Models at their published shapes with random weights, built straight on the device.

What a drafter would bring on the hardware at hand can so be learnt before anything is downloaded: every pass costs what
the real one costs, and `synthetic_acceptance` decides how many drafts stand. Whatever comes out is labelled synthetic.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from drafters.base import Drafter
from drafters.dflash_checkpoint import parse_config
from drafters.dflash_model import DFlashModel
from drafters.registry import build_drafter
from harness import shapes
from harness.errors import InputError
from harness.load import parse_device, parse_dtype
from harness.target import Target

STANDARD_DEVIATION = 0.02


def check_size(size: str) -> str:
    """The published spelling of `size`, whatever its case. Raises InputError."""
    for name in shapes.NAMES:
        if size.lower().replace("_", "-") == name.lower():
            return name
    raise InputError(f"target.size is {size!r}, expected one of {', '.join(shapes.NAMES)} (target.weights=random)")


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


def _causal_lm(raw: dict[str, Any], device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    config = AutoConfig.for_model(**raw)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    # Buffers that no checkpoint holds (rotary frequencies, embedding scales) are computed where the model is built.
    with torch.device(device):
        small = _computed_buffers(config)
    model = fill(model, device, dtype, seed)
    model.tie_weights()
    for name, buffer in small.items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, buffer)
    model.generation_config.eos_token_id = None
    return model


def _computed_buffers(config: Any) -> dict[str, torch.Tensor]:
    """The non-persistent buffers of a model of `config`, from the modules that compute them."""
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    found = {}
    for name, module in skeleton.named_modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            for leaf, buffer in type(module)(module.config).named_buffers():
                found[f"{name}.{leaf}"] = buffer
        elif hasattr(module, "scalar_embed_scale"):
            found[f"{name}.embed_scale"] = torch.tensor(module.scalar_embed_scale)
    return found


def random_target(
    size: str, device: str = "auto", dtype: str = "bfloat16", *, execution: str = "auto", seed: int = 0
) -> Target:
    """A Gemma 4 text model of a published `size` (E2B, E4B, 12B, 26B-A4B, 31B) with random weights."""
    where, kind = parse_device(device), parse_dtype(dtype)
    return Target(_causal_lm(shapes.text(check_size(size)), where, kind, seed), execution)


def random_drafter(name: str, size: str, *, target: Target, seed: int = 1, **options: Any) -> Drafter:
    """The drafter `name` as it is published for `size`, with random weights; controls need no size."""
    size = check_size(size)
    model: Any = None
    if name == "mtp":
        model = _causal_lm(shapes.assistant(size), target.device, target.dtype, seed)
    elif name == "dflash":
        if size in shapes.EDGE:
            raise InputError(f"drafter is 'dflash', but none of z-lab's layout is published for {size}")
        with torch.device("meta"):
            empty = DFlashModel(parse_config(shapes.zlab(size)))
        model = fill(empty, target.device, target.dtype, seed)
    return build_drafter(name, model, target.config.to_dict(), target.device, target.dtype, **options)
