"""Block drafters from checkpoint folders of any layout: config first, then names and shapes, then weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drafters.checkpoints.files import (
    Stored,
    expected_tensors,
    read_model_config,
    read_tensors,
    refuse,
    stored_tensors,
    tensor_problems,
)
from drafters.checkpoints.fit import Fit, check_equal
from drafters.dflash.config import DFlashConfig
from drafters.dflash.model import BlockModel
from drafters.errors import InputError
from drafters.layouts.base import Layout
from drafters.layouts.known import layout_of

log = logging.getLogger(__name__)


def parse_config(raw: dict[str, Any], key: str = "drafters.dflash.path") -> DFlashConfig:
    """The one spelling of any published block drafter's config.json.

    Raises InputError naming `key` and the unusable entry, or the known layouts when none recognises the file.
    """
    config = layout_of(raw, key, "dflash").parse(raw, key)
    assert isinstance(config, DFlashConfig)
    return config


def check_block(config: DFlashConfig | dict[str, Any], target: dict[str, Any], key: str) -> Fit:
    """Compare a block drafter with the target's text config: sizes, vocabulary, and the layers that it taps.

    `config` is the contents of its config.json, or read already. Raises InputError for an unknown layout, an unusable
    entry, or the first entry that does not fit.
    """
    if isinstance(config, dict):
        config = parse_config(config, key)
    layers = target["num_hidden_layers"]
    check_equal(key, "hidden_size", config.hidden_size, target["hidden_size"])
    check_equal(key, "vocab_size", config.vocab_size, target["vocab_size"])
    if config.num_target_layers is not None:
        check_equal(key, "num_target_layers", config.num_target_layers, layers)
    for tap in config.target_layer_ids:
        if not 0 <= tap < layers:
            raise InputError(f"{key}: the drafter taps layer {tap}, expected 0 to {layers - 1} (the target's layers)")
    if not 0 <= config.mask_token_id < config.vocab_size:
        raise InputError(
            f"{key}: mask_token_id is {config.mask_token_id}, expected 0 to {config.vocab_size - 1} (the vocabulary)"
        )
    return Fit(config.max_draft_tokens, config.block_size, config.notes)


def renamed(layout: Layout, name: str) -> str | None:
    """The network's name of a stored tensor: some exports prefix `model.`, some keep what only training needed."""
    name = name.removeprefix("model.")
    return None if name.startswith(("rotary_emb.", *layout.ignored)) else name


def settled(layout: Layout, config: DFlashConfig, names: Iterable[str]) -> DFlashConfig:
    """`config` without the embedding or head that the layout lets a folder leave out and this one does leave out."""
    absent = layout.optional - set(names)
    reduced = config.draft_vocab_size is not None  # no target has such a head to lend
    return replace(
        config,
        own_embedding=config.own_embedding and "embed_tokens.weight" not in absent,
        own_head=config.own_head and ("lm_head.weight" not in absent or reduced),
    )


def empty_model(layout: Layout, config: DFlashConfig) -> BlockModel:
    """The network on the meta device: names and shapes without storage."""
    with torch.device("meta"):
        model = layout.build(config)
    assert isinstance(model, BlockModel)
    return model


def problems_of(model: BlockModel, found: dict[str, Stored]) -> list[str]:
    """Problems of the tensors `found` for `model`, one line each; a wrong number of taps comes first."""
    problems = tensor_problems(expected_tensors(model), found)
    fc, config = found.get("fc.weight"), model.config
    if fc is not None and len(fc.shape) == 2 and fc.shape[0] == config.hidden_size:
        taps, rest = divmod(fc.shape[1], config.hidden_size)
        if not rest and taps != len(config.target_layer_ids):
            problems.insert(
                0,
                f"fc.weight joins the outputs of {taps} target layers, but config.json names "
                f"{len(config.target_layer_ids)} (target layers {list(config.target_layer_ids)})",
            )
    return problems


def vocabulary_problems(tensors: dict[str, Tensor]) -> list[str]:
    """Problems of the maps between a draft vocabulary and the target's (d2t, t2d), if the folder has any."""
    if "d2t" not in tensors or "t2d" not in tensors:
        return []
    offsets, member = tensors["d2t"].long(), tensors["t2d"].bool()
    ids = torch.arange(len(offsets)) + offsets
    if int(ids.min()) < 0 or int(ids.max()) >= len(member):
        return [f"d2t leads to token {int(ids.max())}, outside 0 to {len(member) - 1} (the target's vocabulary)"]
    if len(ids.unique()) != len(ids):
        return ["d2t leads two draft tokens to the same target token"]
    if not torch.equal(ids.sort().values, member.nonzero().flatten()):
        return ["d2t and t2d disagree about which target tokens the draft vocabulary holds"]
    return []


def load_dflash(folder: Path, key: str, device: torch.device, dtype: torch.dtype) -> BlockModel:
    """The network of a checkpoint folder, on `device` in `dtype`.

    Raises InputError for an unknown layout, an unusable config, or a tensor that is missing, unknown or misshapen; the
    headers alone show the latter, before any weight is read.
    """
    raw = read_model_config(folder, key)
    layout = layout_of(raw, key, "dflash")

    def rename(name: str) -> str | None:
        return renamed(layout, name)

    found = stored_tensors(folder, key, rename)
    model = empty_model(layout, settled(layout, layout.parse(raw, key), found))
    where = f"{key}: {folder}"
    for note in model.config.notes:
        log.warning("%s: config.json %s", where, note)
    refuse(problems_of(model, found), where)
    tensors = read_tensors(folder, key, rename)
    refuse(vocabulary_problems(tensors), where)
    model.load_state_dict(tensors, assign=True)
    model.fill_constants()
    return model.to(device=device, dtype=dtype)
