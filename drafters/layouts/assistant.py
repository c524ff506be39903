"""Google's MTP assistants, as transformers knows them: `gemma4_assistant` and `gemma4_unified_assistant`.

The small ones (E2B, E4B) score the tokens of the best centroids only ("ordered embeddings"), the large ones all.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from drafters.layouts.base import Keys, Layout

MODEL_TYPES = ("gemma4_assistant", "gemma4_unified_assistant")


def parse(raw: dict[str, Any], key: str) -> Any:
    """The transformers config. Raises InputError for what no assistant can be."""
    keys = Keys(key, "an assistant", raw)
    keys.whole("backbone_hidden_size")
    text = Keys(key, "an assistant's text_config", keys.need("text_config"))
    for name in ("vocab_size", "hidden_size", "num_hidden_layers"):
        text.whole(name)
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
