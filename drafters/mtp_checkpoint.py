"""Google's published assistants, loaded through transformers with every tensor accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from drafters.checkpoint import weight_files
from drafters.errors import InputError


def load_strictly(folder: Path, key: str, dtype: torch.dtype, auto_class: Any, **options: Any) -> Any:
    """`from_pretrained` on safetensors only, without remote code; a tensor that does not fit is an InputError."""
    weight_files(folder, key)
    try:
        model, info = auto_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
        )
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:400]
        raise InputError(f"{key}: {folder} does not load: {reason}") from error
    problems = [
        f"{kind.removesuffix('_keys')} {', '.join(map(str, sorted(map(str, info[kind]))[:4]))}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if info.get(kind)
    ]
    if problems:
        raise InputError(f"{key}: {folder}: the weights do not fit config.json: {'; '.join(problems)}")
    return model


def load_assistant(folder: Path, key: str, device: torch.device, dtype: torch.dtype, auto_class: Any) -> Any:
    """A Gemma 4 assistant on `device` in `dtype`."""
    return load_strictly(folder, key, dtype, auto_class).to(device)
