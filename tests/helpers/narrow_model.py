"""The published sizes without their width, for tests that build every one of them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.target import shapes
from tests.helpers import tiny_models as tiny

FULL_TEXT, FULL_ASSISTANT = shapes.text, shapes.assistant


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the structure of every size and take its width away."""

    def text(name: str) -> dict[str, Any]:
        config = FULL_TEXT(name)
        config |= {"num_hidden_layers": 12, "layer_types": [tiny.S, tiny.F] * 6, "hidden_size": 32}
        config |= {"intermediate_size": 32, "vocab_size": 2048, "num_attention_heads": 4, "num_key_value_heads": 2}
        config |= {"head_dim": 8, "global_head_dim": 16, "sliding_window": 16}
        if config["num_global_key_value_heads"]:
            config["num_global_key_value_heads"] = 1
        if config["num_kv_shared_layers"]:
            config["num_kv_shared_layers"] = 4
        if config.get("hidden_size_per_layer_input"):
            config |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 2048}
        if config.get("num_experts"):
            config |= {"num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 16}
        return config

    def assistant(name: str) -> dict[str, Any]:
        config = FULL_ASSISTANT(name)
        small = {"num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 32}
        return config | {"text_config": config["text_config"] | small}

    monkeypatch.setattr(shapes, "text", text)
    monkeypatch.setattr(shapes, "assistant", assistant)
    monkeypatch.setitem(shapes.DRAFTERS, "mtp", (shapes.NAMES, assistant))
