"""Small tables of rounds and generations, written by hand in the tests that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

Rounds = Sequence[tuple[int, int, int]]  # drafted, accepted, emitted


def record(
    prompt_id: str, arm: str, rounds: Rounds, seconds: tuple[float, float, float] = (0.0, 0.01, 0.0), **fields: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One generation and its rounds; each round takes `seconds` (draft, verify, other), prefill 0.1 s."""
    key = {name: fields.get(name, default) for name, default in (("turn", 0), ("repeat", 0))}
    key = {"prompt_id": prompt_id, "arm": arm, **key}
    parts = dict(zip(("draft_s", "verify_s", "other_s"), seconds, strict=True))
    lines = [
        {**key, "round": index, "position": 0, "drafted": d, "accepted": a, "emitted": e, **parts}
        for index, (d, a, e) in enumerate(rounds)
    ]
    tokens = 1 + sum(e for _, _, e in rounds)
    generation = {
        **key,
        "category": "code",
        "batch_size": 1,
        "num_draft_tokens": max((d for d, _, _ in rounds), default=0),
        "token_ids": list(range(tokens)),
        "finish_reason": "eos",
        "prefill_s": 0.1,
        "decode_s": len(rounds) * sum(seconds),
        "status": "ok",
        "verdict": None if arm == "baseline" else "exact",
        **fields,
    }
    return lines, generation


def tables(records: Sequence[tuple[list[dict[str, Any]], dict[str, Any]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables that metrics and summaries take."""
    lines = [line for rounds, _ in records for line in rounds]
    columns = [
        *("prompt_id", "turn", "arm", "repeat", "round", "position", "drafted", "accepted", "emitted"),
        *("draft_s", "verify_s", "other_s"),
    ]
    return pd.DataFrame(lines, columns=columns), pd.DataFrame([generation for _, generation in records])


def steps(count: int) -> list[tuple[int, int, int]]:
    """A baseline's rounds."""
    return [(0, 0, 1)] * count
