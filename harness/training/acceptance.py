"""How much of a drafter's proposals the target takes, per kind of prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from drafters.base import Drafter
from harness.decoding.api import generate
from harness.target.target import Target


def acceptance_length(
    target: Target,
    drafter: Drafter,
    prompts: Sequence[tuple[str, list[int]]],
    k: int,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 448,
    batch_size: int = 8,
    seed: int = 0,
) -> dict[str, float]:
    """Tokens emitted per round, pooled over the rounds of each kind and of `all`; prompts are (kind, token ids)."""
    options: dict[str, Any] = {
        "num_draft_tokens": k, "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed,
        "eos_token_ids": target.eos_token_ids, "batch_size": batch_size,
    }  # fmt: skip
    made = generate(target, drafter, [ids for _, ids in prompts], **options)
    emitted: dict[str, int] = defaultdict(int)
    rounds: dict[str, int] = defaultdict(int)
    for (kind, _), generation in zip(prompts, made, strict=True):
        for name in (kind, "all"):
            emitted[name] += sum(r.emitted for r in generation.rounds)
            rounds[name] += len(generation.rounds)
    return {name: emitted[name] / rounds[name] for name in emitted if rounds[name]}
