"""Checks a running server's model and drafting against the run, before any prompt is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drafters.errors import InputError
from harness.engines.counters import PER_POSITION


def choose_model(page: Any, wanted: str | None, target: str | None, url: str) -> str:
    """The name under which the server's model is asked for, from its /v1/models page.

    `wanted` is engine.model; without it the only model is taken, else the one that is served from `target`. Raises
    InputError if that names no single model.
    """
    entries = page.get("data") if isinstance(page, Mapping) else None
    read = isinstance(entries, list) and all(isinstance(one, Mapping) and one.get("id") for one in entries)
    if not entries or not read:
        raise InputError(f"engine.url: {url}/v1/models lists no model, expected an OpenAI-compatible server with one")
    names = [str(entry["id"]) for entry in entries]
    sources = {str(entry["id"]): str(entry.get("root") or entry["id"]) for entry in entries}
    listed = ", ".join(names)
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"engine.model={wanted}: {url} serves {listed}, expected one of these")
        return wanted
    if len(names) == 1:
        return names[0]
    of_target = [name for name in names if target is not None and target in (name, sources[name])]
    if len(of_target) != 1:
        raise InputError(f"engine.model is not set: {url} serves {listed}, expected one of these as engine.model")
    return of_target[0]


def check_drafting(counters: Mapping[str, Any] | None, k: int, arm: str, url: str) -> None:
    """Raise InputError unless the server drafts as `arm` does: `k` tokens a round, 0 for a baseline.

    `counters` are those of its /metrics page: empty where it does not speculate, None where it has none of vLLM's.
    """
    key = f"engine.url of {arm}"
    if counters is None:
        raise InputError(
            f"{key}: {url}/metrics has none of vLLM's metrics, so whether it speculates is unknown; expected a vLLM "
            "server started without --disable-log-stats, and no proxy that hides the page"
        )
    if not k and counters:
        raise InputError(f"{key}: {url} speculates, expected a server started without --speculative-config")
    if k and not counters:
        raise InputError(f"{key}: {url} does not speculate, expected a server started with --speculative-config")
    served = len(counters.get(PER_POSITION, ()))
    if k and served and served != k:
        raise InputError(
            f"{key}: {url} drafts {served} tokens a round and the arm {k}; expected num_draft_tokens={served}, "
            f"or a server started with num_speculative_tokens {k}"
        )
