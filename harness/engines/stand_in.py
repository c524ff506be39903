"""What the rest of a run asks of its target, where an engine holds the weights and the harness reads configs only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import torch

from drafters.checkpoints.files import resolve_folder
from drafters.checkpoints.fit import text_config
from harness.comparison.models import Models, resolve_dtype
from harness.comparison.plan import Plan
from harness.config import RunConfig
from harness.target.devices import parse_device
from harness.target.target import Target


@dataclass(frozen=True, slots=True)
class StandIn:
    """The facts of a target without its weights. `dtype` is its name."""

    device: torch.device
    dtype: str
    vocab_size: int
    max_positions: int
    eos_token_ids: tuple[int, ...]
    execution: str


def engine_models(config: RunConfig, plan: Plan) -> Models:
    """What `load_models` gives, with nothing loaded: every arm is the engine's."""
    text = text_config(plan.target_config)
    stand_in = StandIn(
        parse_device(config.target.device),
        resolve_dtype(config.target, plan.target_config),
        int(text["vocab_size"]),
        plan.context,
        eos_token_ids(str(config.target.path), plan.target_config),
        config.engine.name,
    )
    return Models(cast(Target, stand_in))


def eos_token_ids(path: str, target_config: dict[str, Any]) -> tuple[int, ...]:
    """Every id that ends an answer, as the checkpoint's generation config (else its config) names them."""
    ids = None
    file = resolve_folder(path, "target.path", weights=False) / "generation_config.json"
    if file.is_file():
        ids = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    for config in (text_config(target_config), target_config):
        ids = config.get("eos_token_id") if ids is None else ids
    return () if ids is None else tuple(ids) if isinstance(ids, list) else (int(ids),)
