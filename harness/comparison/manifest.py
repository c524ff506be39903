"""Describes a run before its first prompt: enough to see whether two runs may be compared.

The file is for people and for `harness.compare`; the run key (`harness.records.identity`) is what guards a directory.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from drafters.checkpoints.files import resolve_folder
from drafters.registry import kind_of, traits_of
from harness.comparison.memory import Memory
from harness.comparison.models import TargetFacts, resolve_dtype
from harness.comparison.plan import Plan
from harness.config import Arm, RunConfig
from harness.config.synthetic import RANDOM
from harness.records.files import MANIFEST, replace_file, sha256_of
from harness.records.machine import git_state, hardware, versions
from harness.records.secrets import redact_command, redact_tree
from harness.records.stored import read_object
from harness.target import random_weights
from harness.target.devices import parse_dtype
from harness.target.weights import describe_checkpoint
from harness.tasks.chat import Chat, Rendered
from harness.tasks.hub import published_name
from harness.tasks.prompts import Prompt
from harness.tasks.scoring.scorer import Scorer
from harness.vocabulary import BASELINE, PACKAGE

SCHEMA = 1


def describe_models(config: RunConfig, plan: Plan) -> dict[str, Any]:
    """Identity and size of every model of the run: the target and each trained arm's drafter."""
    named: dict[str, tuple[str, str, str | None]] = {
        "target": (str(config.target.path), "target.path", config.target.revision)
    }
    named |= {arm.name: (arm.path, f"drafters.{arm.name}.path", None) for arm in config.arms if arm.path}
    made = describe_random(config, plan)
    return made | {
        name: {"path": path, **describe_checkpoint(resolve_folder(path, key, revision), key)}
        for name, (path, key, revision) in named.items()
        if name not in made
    }


def describe_random(config: RunConfig, plan: Plan) -> dict[str, Any]:
    """Identity and size of those models whose weights are random."""
    dtype = parse_dtype(resolve_dtype(config.target, plan.target_config))
    made = {}
    if config.target.weights == RANDOM:
        network = random_weights.target_network(plan.target_config)
        about = random_weights.describe(plan.target_config, network, dtype, random_weights.TARGET_SEED)
        made["target"] = {"path": f"{config.target.path}, random weights", **about}
    for arm in plan.arms:
        if arm.arm.weights == RANDOM and arm.drafter is not None:
            network = random_weights.drafter_network(arm.drafter)
            about = random_weights.describe(arm.drafter, network, dtype, random_weights.DRAFTER_SEED)
            made[arm.name] = {"path": f"{arm.arm.path or arm.arm.kind}, random weights", **about}
    return made


def describe_arms(plan: Plan, drafters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The baseline and every arm with its resolved k, and the choices of a loaded drafter."""
    arms: list[dict[str, Any]] = [{"name": BASELINE, "kind": BASELINE, "num_draft_tokens": 0, "verify_width": 1}]
    for planned in plan.arms:
        arms.append(
            {
                "name": planned.name,
                "kind": planned.arm.kind,
                "num_draft_tokens": planned.k,
                **({"chosen_among": list(planned.candidates)} if planned.candidates else {}),
                "verify_width": planned.verify_width,
                "native_block": planned.native_block,
                "options": planned.arm.options,
                "engine": planned.arm.engine,
                **plugged(planned.arm.kind),
                **assumed(planned.arm),
            }
        )
        drafter: Any = (drafters or {}).get(planned.name)
        if hasattr(drafter, "conventions"):
            arms[-1]["conventions"] = dict(drafter.conventions)
        if hasattr(drafter, "scale_reason"):
            arms[-1]["input_embedding_scale"] = {"value": drafter.scale, "why": drafter.scale_reason}
    return arms


def plugged(kind: str) -> dict[str, Any]:
    """The code of another package's drafter, and the traits without which its rows cannot be read; {} for ours."""
    source = kind_of(kind).source
    return {} if source is None else {"source": dict(source), "traits": traits_of(kind)}


def assumed(arm: Arm) -> dict[str, Any]:
    """The made-up parts of an arm: random weights, assumed acceptance rates."""
    rates = {"synthetic_acceptance": list(arm.synthetic_acceptance)} if arm.synthetic_acceptance else {}
    return {**({"weights": RANDOM} if arm.weights == RANDOM else {}), **rates}


def describe_target(config: RunConfig, target: TargetFacts, memory: Memory | None) -> dict[str, Any]:
    """The target as it runs; `memory` was estimated before anything was loaded."""
    return {
        "dtype": target.dtype,
        "device": str(target.device),
        "placement": target.placement,
        "execution": target.execution,
        "attention": target.attention,
        "eos_token_ids": [] if config.synthetic else list(target.eos_token_ids),
        "context": target.max_positions,
        "memory_estimate": None if memory is None else memory.text(),
    }


def describe_prompts(config: RunConfig, prompts: Sequence[Prompt], rendered: Iterable[Rendered], chat: Chat) -> Any:
    """The prompts, their rendering, and hashes of the first turns as the target reads them."""
    text, token_ids, lengths = hashlib.sha256(), hashlib.sha256(), []
    for one in rendered:
        text.update(hashlib.sha256(one.text.encode()).digest())
        token_ids.update(hashlib.sha256(str(one.token_ids).encode()).digest())
        lengths.append(len(one.token_ids))
    dataset = config.dataset
    return {
        "dataset": dataset.name,
        "path": dataset.path,
        "file_sha256": sha256_of(Path(dataset.path)) if dataset.path else None,
        "source": None if dataset.path or dataset.prompts or dataset.random_tokens else published_name(dataset.source),
        "licence": dataset.source.licence,
        "context_tokens": dataset.context_tokens,
        "scoring": Scorer(dataset.scorer, config.scoring).describe(),
        "count": len(prompts),
        "turns": sum(len(prompt.turns) for prompt in prompts),
        "categories": dict(Counter(prompt.category for prompt in prompts)),
        "prompt_ids": [prompt.prompt_id for prompt in prompts],
        "prompt_tokens": {"least": min(lengths), "most": max(lengths)},
        "special_tokens_in_text": chat.marked(prompts),
        "rendered_sha256": text.hexdigest(),
        "token_ids_sha256": token_ids.hexdigest(),
        **chat.describe(),
    }


def checkpoint_identities(models: dict[str, Any]) -> dict[str, Any]:
    """The part of each checkpoint that changes numbers: its contents, not its place."""
    contents = ("weights_hash", "tensors_sha256", "config_sha256")
    return {name: {key: model[key] for key in contents if key in model} for name, model in models.items()}


def write_manifest(
    run_dir: Path,
    *,
    config: RunConfig,
    run_key: str,
    models: dict[str, Any],
    arms: list[dict[str, Any]],
    prompts: dict[str, Any],
    target: dict[str, Any],
    threads: dict[str, Any],
    device: torch.device,
    command: Sequence[str],
    floor: Mapping[str, Any] | None = None,
    conventions: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `manifest.json`. A continued run keeps the first one and adds to `attempts`.

    `conventions` are the differences between the harness's drafters and an engine's beside them, in words.
    """
    path = run_dir / MANIFEST
    now = datetime.now(UTC).isoformat(timespec="seconds")
    attempt = {
        "started": now,
        "command": redact_command(command),
        "versions": versions(),
        "git": git_state(PACKAGE),
        "hardware": hardware(device),
        "threads": threads,
    }
    first = read_object(path, "it is made anew, without the earlier attempts")
    earlier = list((first or {}).get("attempts") or [])
    # A run of an earlier version has no uid, and is tracked under what it has.
    uid = {"uid": uuid.uuid4().hex} if first is None else {key: first[key] for key in ("uid",) if key in first}
    manifest = {
        "schema": SCHEMA,
        "created": earlier[0]["started"] if earlier else now,
        **uid,
        "run_key": run_key,
        **attempt,
        "synthetic": config.synthetic,
        "target": target,
        "floor": floor,
        "models": models,
        "arms": arms,
        **({"differing_conventions": list(conventions)} if conventions else {}),
        "prompts": prompts,
        "config": redact_tree(config.to_dict()),
        "attempts": [*earlier, attempt],
    }
    replace_file(path, json.dumps(manifest, indent=1, ensure_ascii=False, default=str) + "\n")
    return manifest


def add_threads(run_dir: Path, choice: Mapping[str, Any]) -> None:
    """Add a later choice of the thread count to the last attempt of the manifest, whose first one stays."""
    path = run_dir / MANIFEST
    manifest = read_object(path, "a change of the thread count is not kept in it")
    if manifest is None:
        return
    [*_, attempt] = manifest.get("attempts") or [{}]
    attempt.setdefault("threads_changed", []).append(dict(choice))
    replace_file(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
