"""Checks a run against the `config.json` of its target and drafters, before any weight is read.

The checks look at plain dictionaries, so they cost milliseconds and say what to change. Missing and misshapen tensors
are found by the loaders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drafters.adaptive import read_options
from drafters.base import Sampling
from drafters.build import construct
from drafters.checkpoints.files import is_local, read_model_config, resolve_folder, weight_files
from drafters.checkpoints.fit import check_fit
from drafters.errors import InputError
from drafters.geometry import text_config
from drafters.registry import find_kind, kind_of, resolve_draft_tokens
from harness.config import Arm, RunConfig, TargetConfig
from harness.config.checks import at_least
from harness.config.synthetic import RANDOM, check_count
from harness.target.devices import parse_device
from harness.target.files import check_loadable, check_target
from harness.target.random_weights import drafter_shapes, target_shapes
from harness.target.side_files import check_side_files
from harness.vocabulary import BASELINE, HARNESS


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """An arm with the values that its drafter's config settles: k, and the native block of a block drafter."""

    arm: Arm
    k: int
    native_block: int | None = None
    drafter: dict[str, Any] | None = field(default=None, repr=False)  # its config.json
    candidates: tuple[int, ...] = ()  # where a calibration chooses k, which is the largest of them until then

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def verify_width(self) -> int:
        return self.k + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A run whose configs fit together."""

    target_config: dict[str, Any]
    arms: tuple[PlannedArm, ...]

    @property
    def vocab_size(self) -> int:
        return int(text_config(self.target_config)["vocab_size"])

    @property
    def context(self) -> int:
        """Positions the target has."""
        return int(text_config(self.target_config)["max_position_embeddings"])


def preflight(config: RunConfig) -> Plan:
    """Check target and drafters against each other. Raises InputError naming value, expected and key."""
    # Before the hub is asked for anything.
    for arm in config.arms:
        if arm.kind != BASELINE:
            find_kind(arm.kind, f"drafters.{arm.name}.kind")
        check_named(arm, config.target.known.get(arm.kind, {}))
    folder = None
    if config.target.weights == RANDOM:
        target = target_shapes(config.target)
    else:
        folder, target = checkpoint_config(str(config.target.path), "target.path", config.target.revision)
    key = f"target.path={config.target.path}"
    if config.target.weights == RANDOM or config.engine.runs_baseline:  # nothing of its weights is loaded here
        check_target(target, key)
        if folder is not None:
            check_side_files(folder, target, key)
    else:
        check_loadable(target, key, folder, parse_device(config.target.device))
    sampling = sampling_of(config)
    arms = tuple(with_candidates(plan_arm(arm, target, config.target, sampling), config) for arm in config.arms)
    for planned in arms:
        check_count(planned.arm.synthetic_acceptance, planned.k, planned.name, planned.arm.rates_key)
    plan = Plan(target, arms)
    for planned in arms:
        at_least(planned.k, 0, f"drafters.{planned.name}.num_draft_tokens", plan.context)
    return plan


def sampling_of(config: RunConfig) -> Sampling:
    """The sampling settings of every arm."""
    return Sampling(config.decoding.temperature, config.decoding.top_k, config.decoding.top_p)


def check_named(arm: Arm, known: Mapping[str, str]) -> None:
    """Raise InputError for a trained drafter without a checkpoint, naming those `known` for the target."""
    if kind_of(arm.kind).trained and arm.weights != RANDOM and not arm.path:
        others = ", ".join(f"{path} ({what})" for path, what in known.items())
        raise InputError(
            f"drafters.{arm.name}.path is empty: this target names no {arm.kind} drafter, expected a folder or a hub id"
            + (f"; known for it: {others}" if others else "")
            + f"; or leave {arm.name} out of drafter"
        )


def plan_arm(arm: Arm, target: dict[str, Any], configured: TargetConfig, sampling: Sampling) -> PlannedArm:
    """Check one arm against the target's config and settle its k. `configured` knows the shapes of random drafters."""
    if arm.kind == BASELINE and arm.engine != HARNESS:
        return PlannedArm(arm, 0)
    kind = find_kind(arm.kind, f"drafters.{arm.name}.kind")
    key, k_key = f"drafters.{arm.name}.path", f"drafters.{arm.name}.num_draft_tokens"
    if not kind.trained:
        limit = None
        if arm.engine == HARNESS:  # it costs nothing to make without a network, which checks its options
            limit = construct(kind, (), arm.options, f"drafters.{arm.name}").max_draft_tokens
        why = f"the most that {arm.name} drafts in a round"
        return PlannedArm(arm, resolve_draft_tokens(arm.kind, arm.num_draft_tokens, limit, k_key, why))
    if arm.weights == RANDOM:
        drafter = drafter_shapes(arm, configured)
    else:
        _, drafter = checkpoint_config(str(arm.path), key)
    fit = check_fit(arm.kind, drafter, target, f"{key}={arm.path}")
    read_options(arm.options, f"drafters.{arm.name}", sampling)
    if arm.num_draft_tokens is not None and arm.engine != HARNESS:
        # vLLM takes as many mask slots as are asked for, beyond the block that the drafter was trained on.
        return PlannedArm(arm, arm.num_draft_tokens, fit.block_size, drafter)
    anchor = " the anchor and" if (fit.max_draft_tokens or 0) < (fit.block_size or 0) else ""
    notes = "".join(f"; its config.json {note}" for note in fit.notes)
    why = (
        f"the drafter's block of {fit.block_size} holds{anchor} {fit.max_draft_tokens} drafts (num_draft_tokens "
        f"sets all arms){notes}"
    )
    k = resolve_draft_tokens(arm.kind, arm.num_draft_tokens, fit.max_draft_tokens, k_key, why)
    return PlannedArm(arm, k, fit.block_size, drafter)


def with_candidates(planned: PlannedArm, config: RunConfig) -> PlannedArm:
    """The arm with the k among which a calibration chooses, where it asks for one and the arm names no k itself."""
    asked = config.calibration.num_draft_tokens
    arm = planned.arm
    if asked is None or arm.num_draft_tokens is not None or arm.engine != HARNESS or not kind_of(arm.kind).competes:
        return planned
    # A block drafter's default is the most that it can draft.
    candidates = tuple(k for k in asked if planned.native_block is None or k <= planned.k)
    if not candidates:
        raise InputError(
            f"calibration.num_draft_tokens={asked}: expected one of {planned.k} or less, "
            f"the most that {arm.name} drafts"
        )
    return replace(planned, k=candidates[-1], candidates=candidates)


def checkpoint_config(path: str, key: str, revision: str | None = None) -> tuple[Path, dict[str, Any]]:
    """The folder of a path or a hub id and its `config.json`; one on this machine must have safetensors as well."""
    folder = resolve_folder(path, key, revision, weights=False)
    config = read_model_config(folder, f"{key}={path}")
    if is_local(path):
        weight_files(folder, f"{key}={path}")
    return folder, config
