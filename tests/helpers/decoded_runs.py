"""What a run on the tiny pair left behind, and a `decode` that goes wrong in one arm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness.comparison import arms as arms_module
from harness.config import RunConfig
from harness.run import Outcome

Configure = Callable[..., RunConfig]


def generations(outcome: Outcome) -> list[dict[str, Any]]:
    text = (outcome.run_dir / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def tokens_of(outcome: Outcome) -> dict[tuple[Any, ...], list[int]]:
    return {(r["prompt_id"], r["turn"], r["arm"], r["repeat"]): r["token_ids"] for r in generations(outcome)}


def failing(arm_name: str, error: BaseException, after: int = 0) -> Callable[..., Any]:
    """`decode` that raises once the named drafter has been asked more than `after` times."""
    real, calls = arms_module.decode, [0]

    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(drafter, "name", "baseline") == arm_name:
            calls[0] += 1
            if calls[0] > after:
                raise error
        return real(target, drafter, *args, **kwargs)

    return decode


def corrupting(real: Callable[..., Any]) -> Callable[..., Any]:
    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(target, drafter, *args, **kwargs)
        if getattr(drafter, "name", None) == "mtp":
            for generation in found:
                generation.token_ids[3] = (generation.token_ids[3] + 7) % 90
        return found

    return decode
