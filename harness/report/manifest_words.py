"""Words from a run's manifest, for pages and leaderboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.names import compact
from harness.report.places import short_path

DIGITS = 8  # of a hash: enough to tell the few apart that one page shows


def at(tree: Any, *path: str) -> Any:
    """The value at a path of keys; None if the path ends early."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def short(digest: Any) -> str:
    """The first digits of a hash; empty without one."""
    return str(digest or "").removeprefix("sha256:")[:DIGITS]


def decoding(manifest: Mapping[str, Any]) -> str:
    """`greedy`, or temperature, cut-offs and accept rule; empty if unknown."""
    settings = at(manifest, "config", "decoding")
    temperature = at(settings, "temperature")
    if temperature is None:
        return ""
    if temperature == 0:  # neither cut-offs nor the rule for sampled drafts matter
        return "greedy"
    names = [name for name in ("temperature", "top_k", "top_p", "verification") if settings.get(name)]
    return ", ".join(f"{name} {_value(settings[name])}" for name in names)


def machine(manifest: Mapping[str, Any]) -> str:
    """Processor with its threads, or GPU with its power limit; empty if unknown."""
    device = str(at(manifest, "hardware", "device") or at(manifest, "target", "device") or "")
    if device.startswith("cuda"):
        gpu = at(manifest, "hardware", "gpu") or {}
        limit = gpu.get("power.limit")
        return ", ".join(filter(None, [gpu.get("name"), limit and f"limit {limit}"]))
    processor = at(manifest, "hardware", "cpu")
    if not processor:
        return ""
    if at(manifest, "threads", "milliseconds"):  # each run has the count that was fastest for it
        return f"{processor}, {at(manifest, 'hardware', 'cpu_count')} cores, threads by speed"
    threads = at(manifest, "hardware", "torch_threads")
    return f"{processor}, {threads} thread{'' if threads == 1 else 's'}"


def target_name(manifest: Mapping[str, Any]) -> str:
    """The target's name in the run's configuration, else the last part of its path; empty if unknown."""
    name = at(manifest, "config", "target", "name")
    path = at(manifest, "models", "target", "path")
    return str(name) if name not in (None, "path") else short_path(str(path)) if path else ""


def _value(value: Any) -> str:
    return compact(value) if isinstance(value, int | float) else str(value)
