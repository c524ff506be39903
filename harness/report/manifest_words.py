"""Words from a run's manifest, for pages and leaderboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.names import compact

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


def _value(value: Any) -> str:
    return compact(value) if isinstance(value, int | float) else str(value)
