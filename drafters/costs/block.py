"""Shapes of a block drafter's passes, from its config.json in any layout."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drafters.checkpoints.dflash import parse_config
from drafters.costs.shape import DraftShape, LayerShape, PassShape
from drafters.dflash.config import DFlashConfig


def block_shape(raw: dict[str, Any], target: dict[str, Any]) -> DraftShape:
    """A block drafter's round: one pass over the block, then the verified rows become its context.

    Lookups of its path selector and its confidence head are left out.
    """
    return shape_of(parse_config(raw))


def shape_of(config: DFlashConfig) -> DraftShape:
    """`block_shape` of a config that is read already."""
    hidden = config.hidden_size
    query, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    own = keys if config.keys_are_values else 2 * keys
    convolved = 0
    if config.conv_kernel_size:  # two convolutions a layer, each two kernels and what corrects them
        groups = hidden // config.conv_group_size
        convolved = 2 * 2 * config.conv_kernel_size * hidden * (groups + 1)
    weights = hidden * (2 * query + own + 3 * config.intermediate_size) + convolved
    layers = Counter(
        LayerShape(1, weights, 2 * keys, query, config.window(index)) for index in range(config.num_hidden_layers)
    )
    counted = (LayerShape(count, weights, one.kv, one.attended, one.window) for one, count in layers.items())
    vocabulary = config.draft_vocab_size or config.vocab_size
    block = PassShape(
        layers=tuple(counted),
        weights=hidden * config.selector_rank,
        embedded=hidden,
        head=hidden * vocabulary,
    )
    taken_in = hidden * len(config.target_layer_ids) * hidden + config.num_hidden_layers * hidden * own
    each = PassShape(head=config.markov_rank * vocabulary, embedded=config.markov_rank) if config.markov_rank else None
    return DraftShape(block, 0 if config.predicts_next else 1, each, PassShape(weights=taken_in))
