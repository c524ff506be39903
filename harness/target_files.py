"""Which tensors of a Gemma 4 folder make its text part, and whether they are all there.

Published targets are multimodal: the text decoder lies under `model.language_model.` beside vision and audio towers.
Only the decoder is loaded, into the text-only class of the same model type, which is what the loop walks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drafters.checkpoint import Stored, expected_tensors, stored_tensors, tensor_problems
from drafters.fit import text_config
from harness.errors import InputError

#: model_type -> the text-only class in transformers
TEXT_CLASSES = {
    "gemma4": "Gemma4ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma4_unified": "Gemma4UnifiedForCausalLM",
    "gemma4_unified_text": "Gemma4UnifiedForCausalLM",
}
SIZES = ("hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings")
TEXT_TYPES = ("gemma4_text", "gemma4_unified_text")
MULTIMODAL_TYPES = ("gemma4", "gemma4_unified")
#: How transformers' names of a text-only model follow from the stored ones.
KEY_MAPPING = {r"^model\.language_model\.": "model.", r"^language_model\.model\.": "model."}
OTHER_MODALITIES = re.compile(r"^(model\.)?(vision|audio|embed_vision|embed_audio|multi_modal)[a-z_]*\.")


def check_model_type(raw: dict[str, Any], key: str) -> str:
    """The config's model_type. Raises InputError when it is no Gemma 4 model."""
    model_type = raw.get("model_type")
    if model_type not in TEXT_CLASSES:
        raise InputError(
            f"{key}: model_type is {model_type!r}, expected a Gemma 4 model "
            f"({', '.join(TEXT_TYPES + MULTIMODAL_TYPES)})"
        )
    return str(model_type)


def check_sizes(raw: dict[str, Any], key: str) -> None:
    """Raise InputError where a target's config.json leaves its sizes open: transformers would fill in defaults."""
    absent = [name for name in SIZES if not isinstance(text_config(raw).get(name), int)]
    if absent:
        raise InputError(f"{key}: its config.json has no {', '.join(absent)}")


def text_class(model_type: str) -> Any:
    import transformers

    return getattr(transformers, TEXT_CLASSES[model_type])


def text_config_of(raw: dict[str, Any], key: str) -> Any:
    """The transformers config of the text part, with the quantization of the whole where there is one."""
    from transformers import CONFIG_MAPPING

    nested = dict(raw.get("text_config") or raw)
    text_type = str(raw["model_type"]).removesuffix("_text") + "_text"
    nested["model_type"] = text_type
    try:
        config = CONFIG_MAPPING[text_type].from_dict(nested)
    except Exception as error:  # transformers raises what its validators raise
        raise InputError(
            f"{key}: transformers refuses config.json: {' '.join(str(error).split())[:300]}"
        ) from error
    if raw.get("quantization_config") and not getattr(config, "quantization_config", None):
        config.quantization_config = renamed_modules(raw["quantization_config"])
    return config


def renamed_modules(quantization: Any) -> Any:
    """A quantization config with the module names it lists as the text-only model names them."""
    if isinstance(quantization, dict):
        return {name: renamed_modules(value) for name, value in quantization.items()}
    if isinstance(quantization, list):
        return [renamed_modules(value) for value in quantization]
    if isinstance(quantization, str):
        return quantization.replace("model.language_model.", "model.")
    return quantization


def text_name(stored: str) -> str | None:
    """The text-only model's name of a stored tensor, None for one of another modality."""
    for pattern, replacement in KEY_MAPPING.items():
        stored, count = re.subn(pattern, replacement, stored)
        if count:
            return stored
    return None if OTHER_MODALITIES.match(stored) else stored


def empty_target(config: Any, model_type: str) -> nn.Module:
    """The text-only model on the meta device: names and shapes without storage."""
    with torch.device("meta"):
        model = text_class(model_type)(config)
    assert isinstance(model, nn.Module)
    return model


def target_problems(model: Any, found: dict[str, Stored]) -> list[str]:
    """What is wrong with the text tensors `found` for `model`.

    A tied head may be stored or left out, and layers that share keys and values may carry projections they never use.
    """
    expected = expected_tensors(model)
    if "lm_head.weight" not in found and model.config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    unused = [
        f"model.layers.{index}.self_attn.{part}."
        for index, layer in enumerate(model.model.layers)
        if layer.self_attn.is_kv_shared_layer
        for part in ("k_proj", "v_proj", "k_norm", "v_norm")
    ]
    return tensor_problems(expected, {n: t for n, t in found.items() if not n.startswith(tuple(unused))})


def stored_text(folder: Path, key: str) -> dict[str, Stored]:
    """The folder's text tensors by the text-only model's names, from the headers alone."""
    return stored_tensors(folder, key, text_name)


def is_quantized(config: Any) -> bool:
    """Whether the stored tensors are packed, so that their names and shapes say nothing here."""
    return bool(getattr(config, "quantization_config", None))
