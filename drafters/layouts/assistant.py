"""Google's MTP assistants, as transformers knows them: `gemma4_assistant` and `gemma4_unified_assistant`.

The small ones (E2B, E4B) score the tokens of the best centroids only ("ordered embeddings"), the large ones all.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from drafters.layouts.base import Keys, Layout, section
from drafters.layouts.harmless import GEMMA_FULL
from drafters.layouts.others import refuse_quantized

#: Entries for the geometry of full layers in a Gemma 4 text config, before transformers 5.15 and since.
GLOBAL = ("global_head_dim", "num_global_key_value_heads", "per_layer_config")
#: Entries of a text config that an assistant never reads: it has neither experts nor per-layer embeddings.
UNUSED = (*GEMMA_FULL, "enable_moe_block", "hidden_size_per_layer_input", "num_kv_shared_layers")
MODEL_TYPES = ("gemma4_assistant", "gemma4_unified_assistant")


def parse(raw: dict[str, Any], key: str) -> Any:
    """The transformers config. Raises InputError for an entry that no assistant can have."""
    keys = check_entries(raw, key)
    keys.whole("backbone_hidden_size", least=1)
    keys.need("text_config")
    text = Keys(key, "an assistant's text_config", section(raw, "text_config", key))
    for name in ("vocab_size", "hidden_size", "num_hidden_layers"):
        text.whole(name, least=1)
    try:
        config = CONFIG_MAPPING[raw["model_type"]].from_dict(raw)
        config.validate()
    except Exception as error:  # transformers raises what its validators raise
        raise keys.error(f"transformers refuses config.json: {' '.join(str(error).split())[:300]}") from error
    if config.use_ordered_embeddings and config.text_config.vocab_size % config.num_centroids:
        raise keys.error(
            f"num_centroids is {config.num_centroids}, expected a divisor of vocab_size={config.text_config.vocab_size}"
        )
    return config


def check_entries(raw: dict[str, Any], key: str) -> Keys:
    """The reader of an assistant's config.json. Raises InputError for entries that transformers would ignore."""
    refuse_quantized(raw, key)
    keys = Keys(key, "an assistant", raw)
    keys.knows(*known_entries(CONFIG_MAPPING[raw["model_type"]]))
    keys.close()
    text = Keys(key, "an assistant's text_config", section(raw, "text_config", key))
    text.knows(*known_entries(CONFIG_MAPPING[f"{raw['model_type'].removesuffix('_assistant')}_text"]), *GLOBAL, *UNUSED)
    text.close()
    return keys


def known_entries(config_class: Any) -> set[str]:
    """The entries that a transformers config reads; it keeps any others silently."""
    return set(inspect.signature(config_class).parameters)


def build(config: Any) -> nn.Module:
    """The network, its head tied to its embedding."""
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)


ASSISTANT = Layout(
    name="Google MTP assistant",
    kind="mtp",
    marker='model_type "gemma4_assistant" or "gemma4_unified_assistant"',
    matches=lambda raw: raw.get("model_type") in MODEL_TYPES,
    parse=parse,
    build=build,
    optional=frozenset({"lm_head.weight"}),
)
