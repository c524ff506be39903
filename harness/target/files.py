"""Finds the tensors of a Gemma 4 folder's text part and checks that they are complete.

Published targets are multimodal: the text decoder lies under `model.language_model.` beside vision and audio towers.
Only the decoder is loaded, into the text-only class of the same model type, which is what the loop walks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drafters.checkpoints.files import Stored, expected_tensors, stored_tensors, tensor_problems
from drafters.errors import InputError
from drafters.geometry import text_config
from drafters.layouts.assistant import GLOBAL, known_entries
from drafters.layouts.base import architecture
from drafters.layouts.harmless import GEMMA_FULL, is_harmless
from drafters.layouts.known import describe_marks
from harness.target.quantization import check_quantization
from harness.target.side_files import check_side_files

#: model_type -> the text-only class in transformers
TEXT_CLASSES = {
    "gemma4": "Gemma4ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma4_unified": "Gemma4UnifiedForCausalLM",
    "gemma4_unified_text": "Gemma4UnifiedForCausalLM",
}
#: What `architectures` may name; another one over the same model_type is another model, as a drafter or a classifier.
ARCHITECTURES = tuple(
    f"{family}{head}"
    for family in ("Gemma4", "Gemma4Unified")
    for head in ("ForConditionalGeneration", "ForCausalLM", "Model", "TextModel")
)
Device = torch.device | None
SIZES = ("hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings")
TEXT_TYPES = ("gemma4_text", "gemma4_unified_text")
MULTIMODAL_TYPES = ("gemma4", "gemma4_unified")
#: How transformers' names of a text-only model follow from the stored ones.
KEY_MAPPING = {r"^model\.language_model\.": "model.", r"^language_model\.model\.": "model."}
OTHER_MODALITIES = re.compile(r"^(model\.)?(vision|audio|embed_vision|embed_audio|multi_modal)[a-z_]*\.")


def is_target(raw: dict[str, Any]) -> bool:
    """Whether a config.json is a Gemma 4 model's by both its marks; `architectures` may be left out."""
    return raw.get("model_type") in TEXT_CLASSES and architecture(raw) in (None, *ARCHITECTURES)


def check_target(raw: dict[str, Any], key: str) -> str:
    """The model_type of a target's config.json. Raises InputError for another model, or one that leaves sizes open."""
    if raw.get("model_type") not in TEXT_CLASSES:
        raise InputError(
            f"{key}: model_type is {raw.get('model_type')!r}, expected a Gemma 4 model "
            f"({', '.join(TEXT_TYPES + MULTIMODAL_TYPES)})"
        )
    if not is_target(raw):
        raise InputError(f"{key}: {describe_marks(raw)}; expected a target ({', '.join(ARCHITECTURES)})")
    check_sizes(raw, key)
    return str(raw["model_type"])


def check_loadable(raw: dict[str, Any], key: str, folder: Path | None = None, device: Device = None) -> list[str]:
    """Notes on how a target's folder is read on `device` (None: the one that `auto` takes).

    Raises InputError for what `check_target` refuses, for a quantization that cannot be loaded there, and for files
    beside the weights that are not what their names say.
    """
    check_target(raw, key)
    method = check_quantization(raw, key, folder, device)
    notes = [] if method is None else [f"quantized: {method}"]
    if extra := passed_over(raw):
        notes.append(f"transformers does not read {', '.join(extra)} in config.json")
    return notes + (check_side_files(folder, raw, key) if folder is not None else [])


def passed_over(raw: dict[str, Any]) -> list[str]:
    """Entries of a target's text config that transformers' Gemma 4 does not read and that may change the model."""
    from transformers import CONFIG_MAPPING

    read = known_entries(CONFIG_MAPPING[str(raw["model_type"]).removesuffix("_text") + "_text"])
    known = {*read, *GLOBAL, *GEMMA_FULL, "quantization", "quantization_config"}
    whole = {"text_config", "vision_config", "audio_config"} if "text_config" not in raw else set()
    text = text_config(raw)
    return sorted(name for name in text if name not in known | whole and not is_harmless(name, text[name]))


def check_sizes(raw: dict[str, Any], key: str) -> None:
    """Raise InputError where a target's config.json leaves its sizes open: transformers would fill in defaults."""
    try:
        text = text_config(raw)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error
    absent = [name for name in SIZES if not isinstance(text.get(name), int)]
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
        raise InputError(f"{key}: transformers refuses config.json: {' '.join(str(error).split())[:300]}") from error
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


def empty_target(config: Any, model_type: str, key: str = "target.path") -> nn.Module:
    """The text-only model on the meta device: names and shapes without storage.

    Raises InputError for a config that transformers cannot build, as with an unknown activation.
    """
    try:
        with torch.device("meta"):
            model = text_class(model_type)(config)
    except Exception as error:  # transformers looks names up in its own tables
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise InputError(f"{key}: transformers cannot build the model of config.json ({reason})") from error
    assert isinstance(model, nn.Module)
    return model


def target_problems(model: Any, found: dict[str, Stored]) -> list[str]:
    """Every way in which the text tensors `found` differ from those of `model`, one short line each.

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
    """Whether the stored tensors are packed, so that their names and shapes differ from the model's."""
    return bool(getattr(config, "quantization_config", None))


def end_token_ids(*named: Any) -> tuple[int, ...]:
    """The first set one of `named` (an id or a list of ids, as configs name end tokens) as ids; empty if none is."""
    ids = next((one for one in named if one is not None), ())
    return tuple(ids) if isinstance(ids, list | tuple) else (int(ids),)
