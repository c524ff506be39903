"""The facts of a target whose weights an engine holds: the harness reads its configs only."""

from __future__ import annotations

import json
from typing import Any

from drafters.checkpoints.files import resolve_folder
from drafters.geometry import text_config
from harness.comparison.models import TargetFacts, resolve_dtype
from harness.comparison.plan import Plan
from harness.config import RunConfig
from harness.target.devices import parse_device
from harness.target.files import end_token_ids


def engine_facts(config: RunConfig, plan: Plan) -> TargetFacts:
    """The facts of the target, from its configs alone."""
    return TargetFacts(
        device=parse_device(config.target.device),
        dtype=resolve_dtype(config.target, plan.target_config),
        vocab_size=plan.vocab_size,
        max_positions=plan.context,
        eos_token_ids=eos_token_ids(str(config.target.path), plan.target_config),
        execution=config.engine.name,
        attention=config.engine.name,
        placement=None,
    )


def eos_token_ids(path: str, target_config: dict[str, Any]) -> tuple[int, ...]:
    """Every id that ends an answer, as the checkpoint's generation config (else its config) names them."""
    file = resolve_folder(path, "target.path", weights=False) / "generation_config.json"
    generation = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    configs = (generation, text_config(target_config), target_config)
    return end_token_ids(*(config.get("eos_token_id") for config in configs))
