"""A worker that speaks as `harness/engines/vllm/script.py` does, without vLLM: it counts up, in a fixed pattern.

`FAKE_WORKER` in the environment chooses a fault: `refuse` fails to load, `die` ends while it decodes, `abort` ends
every answer so, `lossy` lets a drafting arm emit other tokens than the baseline.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FAULT = os.environ.get("FAKE_WORKER", "")
ACCEPTED = (2, 0, 1)
FIRST, LAST = 10, 90
counters: dict[str, Any] = {}
loaded: dict[str, Any] = {}


def tokens_after(prompt: list[int], count: int) -> list[int]:
    start = sum(prompt) % (LAST - FIRST)
    return [FIRST + (start + index) % (LAST - FIRST) for index in range(count)]


def row(prompt: list[int], count: int) -> dict[str, Any]:
    tokens = tokens_after(prompt, count)
    speculative = loaded.get("speculative_config")
    if speculative is None:
        return {"steps": [[token] for token in tokens], "at": times(count), "finish": "length", "drafts": None}
    if FAULT == "lossy":
        tokens[3:] = [token + 1 for token in tokens[3:]]
    k = speculative["num_speculative_tokens"]
    steps, accepted, rest = [tokens[:1]], [], tokens[1:]
    while rest:
        accepted.append(min(ACCEPTED[len(accepted) % len(ACCEPTED)], k))
        steps.append(rest[: accepted[-1] + 1])
        rest = rest[accepted[-1] + 1 :]
    per_position = [sum(one > place for one in accepted) for place in range(k)]
    reported = {
        "num_drafts": len(accepted),
        "num_draft_tokens": k * len(accepted),
        "num_accepted_tokens": sum(accepted),
        "num_accepted_tokens_per_pos": per_position,
    }
    for name, value in reported.items():
        old = counters.get(name, [0] * k if isinstance(value, list) else 0)
        both = zip(value, old, strict=True) if isinstance(value, list) else None
        counters[name] = [a + b for a, b in both] if both is not None else value + old
    return {
        "steps": steps,
        "at": times(len(steps)),
        "finish": "length",
        "drafts": {"drafted": [k] * len(accepted), "accepted": accepted},
        "reported": reported,
    }


def times(count: int) -> list[float]:
    return [0.5 + 0.25 * index for index in range(count)]


def load(arguments: dict[str, Any]) -> dict[str, Any]:
    if FAULT == "refuse":
        raise ValueError("no such model")
    loaded.update(arguments)
    return {"versions": {"vllm": "fake"}, "load_s": 0.0}


def decode(prompts: list[list[int]], max_new_tokens: int, **rest: Any) -> dict[str, Any]:
    if FAULT == "die":
        print("out of memory, says the fake", file=sys.stderr, flush=True)
        os._exit(9)
    rows = [row(prompt, max_new_tokens) for prompt in prompts]
    if FAULT == "abort":
        for one in rows:
            one["finish"] = "abort"
    return {"rows": rows, "counters": rows[0].pop("reported", {})}


def messages() -> dict[str, Any]:
    return {
        "load": load,
        "decode": decode,
        "scores": lambda prompt: {"logits": {str(token): 20.0 - token for token in range(5)}},
        "counters": lambda: {"counters": counters},
    }
