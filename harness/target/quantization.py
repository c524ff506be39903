"""Checks that a quantized target can be loaded on this machine, before its weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.errors import InputError
from drafters.geometry import text_config

#: Methods of packages that transformers does not read, and what can run them.
ELSEWHERE = {
    "modelopt": "made by NVIDIA Model Optimizer, which transformers does not read; vLLM does (engine=vllm)",
    "mlx": "made by MLX, for Apple's GPUs, which transformers does not read",
}
MODELOPT = "hf_quant_config.json"  # beside config.json, in older exports instead of an entry there
UNQUANTIZED = "expected the checkpoint that it was made from"


def quantization_of(raw: dict[str, Any]) -> dict[str, Any] | None:
    """A target's quantization config wherever its config.json holds it; MLX's own key is given the method mlx."""
    found = raw.get("quantization_config") or text_config(raw).get("quantization_config")
    if isinstance(raw.get("quantization"), dict) and not (found or {}).get("quant_method"):
        return {"quant_method": "mlx", **raw["quantization"]}
    return found or None


def check_quantization(
    raw: dict[str, Any], key: str, folder: Path | None = None, device: torch.device | None = None
) -> str | None:
    """The method by which a quantized target is run on `device`, with a note; None where it is not quantized.

    Raises InputError where it cannot be loaded: an unknown method, or one whose package or device is not here.
    """
    found = quantization_of(raw)
    if found is None and folder is not None and (folder / MODELOPT).is_file():
        found = {"quant_method": "modelopt"}
    if found is None:
        return None
    if not isinstance(found, dict):
        raise InputError(f"{key}: quantization_config is {found!r}, expected an object")
    bits = [name for name in ("load_in_4bit", "load_in_8bit") if found.get(name)]
    method = str(found.get("quant_method") or ("bitsandbytes" if bits else "unnamed"))
    if method in ELSEWHERE:
        raise InputError(f"{key}: its weights are quantized ({method}): {ELSEWHERE[method]}; {UNQUANTIZED}")
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer

    known = sorted({name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZATION_CONFIG_MAPPING})
    if method not in known:
        raise InputError(
            f"{key}: its weights are quantized, quant_method is {method!r}; {UNQUANTIZED}, or one of {', '.join(known)}"
        )
    where = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        quantizer = AutoHfQuantizer.from_config(dict(found), pre_quantized=True)
        quantizer.validate_environment(dtype=torch.bfloat16, device_map={"": where}, weights_only=True)
    except Exception as error:  # each method raises what its package raises
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{key}: its weights are quantized ({method}) and cannot be loaded here: {reason}") from error
    if getattr(quantizer.quantization_config, "dequantize", False):
        return (
            f"{method}, dequantized when it is loaded, as this {where.type} has no kernels for it: memory and times "
            "are not those of the quantized model"
        )
    return method
