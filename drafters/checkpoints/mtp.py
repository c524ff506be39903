"""Google's published assistants: checked against a target, and loaded with every tensor accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import logging

from drafters.checkpoints.files import Stored, expected_tensors, read_model_config, read_tensors, refuse, stored_tensors
from drafters.checkpoints.files import tensor_problems as compare
from drafters.checkpoints.fit import Fit, check_equal
from drafters.errors import InputError
from drafters.geometry import kv_geometry, text_config
from drafters.layouts.assistant import check_entries
from drafters.layouts.known import layout_of


def check_assistant(config: Any, target: dict[str, Any], key: str) -> Fit:
    """Compare an assistant with the target's text config: sizes, vocabulary, and the cache that it reads.

    `config` is the contents of its config.json, or a transformers config. Raises InputError for another layout, an
    entry that no assistant has, or the first entry that is not the target's.
    """
    raw = config if isinstance(config, dict) else config.to_dict()
    layout_of(raw, key, "mtp")
    text = text_config(raw)
    check_equal(key, "backbone_hidden_size", raw.get("backbone_hidden_size"), target["hidden_size"])
    check_equal(key, "vocab_size", text.get("vocab_size"), target["vocab_size"])
    shapes = kv_geometry(target)
    for layer_type, shape in kv_geometry(text).items():
        what = f"{layer_type} (head_dim, key/value heads)"
        check_equal(key, what, shape, shapes.get(layer_type), ", whose cache it reads")
    if "sliding_attention" in (text.get("layer_types") or []):
        mine, wanted = text.get("sliding_window"), target["sliding_window"]
        check_equal(key, "sliding_window", mine, wanted, ", whose cache it reads")
    if raw is config:  # transformers writes entries of its own into the config of a model
        check_entries(raw, key)
    return Fit()


def load_strictly(folder: Path, key: str, dtype: torch.dtype, model_class: Any, **options: Any) -> Any:
    """`from_pretrained` on safetensors only, without remote code. Raises InputError for tensors without a place."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its report lists every tensor of the towers that are left out on purpose
    try:
        model, info = model_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
        )
    except (ValueError, RuntimeError, OSError, KeyError, ImportError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise InputError(f"{key}: {folder} does not load: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
    problems = [f"{name} is missing" for name in sorted(map(str, info["missing_keys"]))]
    problems += [f"{name} is misshapen" for name in sorted(map(str, info["mismatched_keys"]))]
    refuse(problems, f"{key}: {folder}")
    return model


def empty_assistant(config: Any, build: Any) -> nn.Module:
    """The network on the meta device: names and shapes without storage."""
    with torch.device("meta"):
        model = build(config)
    assert isinstance(model, nn.Module)
    return model


def problems_of(model: nn.Module, found: dict[str, Stored]) -> list[str]:
    """Problems of the tensors `found` for `model`, one line each. The tied head may be stored or left out."""
    expected = expected_tensors(model)
    if "lm_head.weight" not in found:
        expected.pop("lm_head.weight")
    return compare(expected, found)


def ordering_problems(tensors: dict[str, Tensor]) -> list[str]:
    """Problems of the token order of an ordered head, if the folder has one."""
    order = tensors.get("masked_embedding.token_ordering")
    if order is None or torch.equal(order.long().sort().values, torch.arange(len(order))):
        return []
    return ["masked_embedding.token_ordering is no permutation of the vocabulary"]


def load_assistant(folder: Path, key: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A Gemma 4 assistant on `device` in `dtype`.

    Raises InputError for another layout, an unusable config, or a tensor that is missing, unknown or misshapen; the
    headers alone show the latter, before any weight is read.
    """
    raw = read_model_config(folder, key)
    layout = layout_of(raw, key, "mtp")
    model = empty_assistant(layout.parse(raw, key), layout.build)
    where = f"{key}: {folder}"
    refuse(problems_of(model, stored_tensors(folder, key)), where)
    order = read_tensors(folder, key, lambda name: name if name.endswith("token_ordering") else None)
    refuse(ordering_problems(order), where)
    return load_strictly(folder, key, dtype, type(model)).to(device)
