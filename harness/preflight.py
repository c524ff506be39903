"""What can be known to be wrong before any weight is read: `config.json` of the target and of each drafter.

The checks look at plain dictionaries, so they cost milliseconds and say what to change. What only the tensors tell
(missing, misshapen) is the loaders' to say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import Arm, RunConfig
from harness.errors import InputError

DEFAULT_DRAFT_TOKENS = 4
CONTROLS = ("lookup", "oracle", "random")
KINDS = ("mtp", "dflash", *CONTROLS)
TARGET_TYPES = ("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text")
ASSISTANT_TYPES = ("gemma4_assistant", "gemma4_unified_assistant")


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """An arm with what its drafter's config settles: k, and the native block where it has one."""

    arm: Arm
    k: int
    native_block: int | None = None

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def verify_width(self) -> int:
        return self.k + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that fits together as far as the configs tell."""

    target_config: dict[str, Any]
    arms: tuple[PlannedArm, ...]

    @property
    def context(self) -> int:
        """Positions the target has."""
        return int(_text(self.target_config)["max_position_embeddings"])


def preflight(config: RunConfig) -> Plan:
    """Check target and drafters against each other. Raises InputError naming value, expected and key."""
    target = read_checkpoint_config(str(config.target.path), "target.path")
    if target.get("model_type") not in TARGET_TYPES:
        raise InputError(
            f"target.path={config.target.path}: model_type is {target.get('model_type')}, "
            f"expected one of {', '.join(TARGET_TYPES)}"
        )
    for key in ("hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings"):
        if not isinstance(_text(target).get(key), int):
            raise InputError(f"target.path={config.target.path}: its config.json has no {key}")
    return Plan(target, tuple(plan_arm(arm, target) for arm in config.arms))


def plan_arm(arm: Arm, target: dict[str, Any]) -> PlannedArm:
    """Check one arm against the target's config and settle its k."""
    if arm.kind not in KINDS:
        raise InputError(f"drafters.{arm.name}.kind={arm.kind}: expected one of {', '.join(KINDS)}")
    if arm.kind in CONTROLS:
        return PlannedArm(arm, arm.num_draft_tokens or DEFAULT_DRAFT_TOKENS)
    key = f"drafters.{arm.name}.path"
    if not arm.path:
        raise InputError(f"{key} is empty: this target names no {arm.kind} drafter, expected a folder or a hub id")
    drafter = read_checkpoint_config(arm.path, key)
    if arm.kind == "mtp":
        check_mtp(drafter, target, f"{key}={arm.path}")
        return PlannedArm(arm, arm.num_draft_tokens or DEFAULT_DRAFT_TOKENS)
    block = check_dflash(drafter, target, f"{key}={arm.path}")
    k = arm.num_draft_tokens or block - 1
    if k > block - 1:
        raise InputError(
            f"drafters.{arm.name}.num_draft_tokens={k}: expected {block - 1} or less, "
            f"the drafter's block of {block} holds the anchor and {block - 1} drafts (num_draft_tokens sets all arms)"
        )
    return PlannedArm(arm, k, block)


def check_mtp(drafter: dict[str, Any], target: dict[str, Any], where: str) -> None:
    """Whether a Gemma 4 assistant's config fits a target's."""
    if drafter.get("model_type") not in ASSISTANT_TYPES:
        raise InputError(
            f"{where}: model_type is {drafter.get('model_type')}, expected one of {', '.join(ASSISTANT_TYPES)}"
        )
    ours, theirs = _text(drafter), _text(target)
    _equal(drafter.get("backbone_hidden_size"), theirs["hidden_size"], "backbone_hidden_size", "hidden_size", where)
    _equal(ours.get("vocab_size"), theirs["vocab_size"], "vocab_size", "vocab_size", where)
    _equal(ours.get("sliding_window"), theirs.get("sliding_window"), "sliding_window", "sliding_window", where)


def check_dflash(drafter: dict[str, Any], target: dict[str, Any], where: str) -> int:
    """Whether a DFlash config fits a target's. Returns its block size (anchor and masks)."""
    settings = {**drafter, **(drafter.get("dflash_config") or {})}
    block, taps = settings.get("block_size"), settings.get("target_layer_ids")
    if not isinstance(block, int) or not isinstance(taps, list) or not taps:
        raise InputError(
            f"{where}: no DFlash config, expected block_size and target_layer_ids "
            f"(model_type is {drafter.get('model_type')}, architectures {drafter.get('architectures')})"
        )
    if block < 2:
        raise InputError(f"{where}: block_size is {block}, expected 2 or more (the anchor and one mask)")
    theirs = _text(target)
    layers, vocab = theirs["num_hidden_layers"], theirs["vocab_size"]
    _equal(settings.get("hidden_size"), theirs["hidden_size"], "hidden_size", "hidden_size", where)
    _equal(settings.get("vocab_size"), vocab, "vocab_size", "vocab_size", where)
    if settings.get("num_target_layers") is not None:
        _equal(settings["num_target_layers"], layers, "num_target_layers", "num_hidden_layers", where)
    for tap in taps:
        if not isinstance(tap, int) or not 0 <= tap < layers:
            raise InputError(f"{where}: target_layer_ids has {tap}, expected 0 to {layers - 1} (the target's layers)")
    mask = settings.get("mask_token_id")
    if not isinstance(mask, int) or not 0 <= mask < vocab:
        raise InputError(f"{where}: mask_token_id is {mask}, expected a token id below {vocab}")
    if "sliding_attention" in (settings.get("layer_types") or []) and not settings.get("sliding_window"):
        raise InputError(f"{where}: layer_types has sliding_attention, expected sliding_window beside it")
    return block


def read_checkpoint_config(path: str, key: str) -> dict[str, Any]:
    """`config.json` of a folder or of a hub id. A folder must hold safetensors; nothing else is ever loaded."""
    folder = Path(path).expanduser()
    file = folder / "config.json" if folder.exists() else _from_hub(path, key)
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"{key}={path}: is a file, expected a checkpoint folder or a hub id")
        if not file.is_file():
            raise InputError(f"{key}={path}: the folder has no config.json")
        if not any(folder.glob("*.safetensors")):
            raise InputError(f"{key}={path}: the folder has no *.safetensors, the only weight format that is read")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{key}={path}: its config.json is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{key}={path}: its config.json holds no JSON object")
    return config


def _from_hub(path: str, key: str) -> Path:
    if path.startswith(("/", ".", "~")) or path.count("/") != 1:
        raise InputError(f"{key}={path}: no such folder")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(path, "config.json"))
    except Exception as error:  # the hub client has a kind for each way to fail, and so has its transport
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{key}={path}: no such folder, and not to be had from the hub ({reason})") from error


def _text(config: dict[str, Any]) -> dict[str, Any]:
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _equal(value: Any, expected: Any, name: str, target_name: str, where: str) -> None:
    if value != expected:
        raise InputError(f"{where}: {name} is {value}, expected the target's {target_name}={expected}")
