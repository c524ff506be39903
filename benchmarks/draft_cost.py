"""What a round costs: draft and verify milliseconds against k, against context, against batch.

    python -m benchmarks.draft_cost [--over k|context|batch] [--execution eager]

Claims under test: MTP's draft cost grows with k, DFlash's does not; long contexts cost what their full layers cost.
Rounds are timed by the loop's own clock on the embedded pair, arms in turn, medians over rounds; drafts are accepted
or not as they come.
"""

from __future__ import annotations

import random
import statistics
from typing import Any

from benchmarks.common import arguments, hardware, keep, warn_if_busy
from benchmarks.peers import ASSETS
from harness import generate, load_drafter, load_target

POINTS = {"k": [1, 2, 4, 6, 8, 11, 15], "context": [256, 512, 1024, 2048], "batch": [1, 2, 4, 8, 16]}


def prompt_of(length: int, vocabulary: int, seed: int = 0) -> list[int]:
    """Random token ids: what a pass costs does not depend on what it reads."""
    return random.Random(seed).choices(range(10, vocabulary), k=length)


def main() -> None:
    flags = arguments(
        __doc__ or "",
        over={"choices": list(POINTS), "default": "k"},
        execution={"default": "auto"},
        tokens={"type": int, "default": 64},
    )
    warn_if_busy()
    before = hardware()
    target = load_target(str(ASSETS / "target"), device="auto", dtype="float32", execution=flags.execution)
    drafters = {name: load_drafter(name, str(ASSETS / name), target=target) for name in ("mtp", "dflash")}
    arms: dict[str, Any] = {"baseline": None, **drafters}
    rows: dict[tuple[str, int], dict[str, list[float]]] = {}
    for repeat in range(flags.repeats + 1):  # the first is warm-up
        for point in POINTS[flags.over]:
            length = min(point, target.max_positions - flags.tokens - 20) if flags.over == "context" else 100
            size = point if flags.over == "batch" else 1
            prompts = [prompt_of(length, target.vocab_size, seed) for seed in range(size)]
            for arm, drafter in arms.items():
                k = (point if flags.over == "k" else {"mtp": 4, "dflash": 15}.get(arm)) if drafter else None
                generations = generate(target, drafter, prompts, num_draft_tokens=k, max_new_tokens=flags.tokens)
                if repeat:
                    # A drafter's own prefill is charged to its first round; here the running cost is asked for.
                    rounds = generations[0].rounds[1:]
                    cell = rows.setdefault((arm, point), {"draft": [], "verify": [], "other": []})
                    cell["draft"] += [1e3 * r.draft_s for r in rounds]
                    cell["verify"] += [1e3 * r.verify_s for r in rounds]
                    cell["other"] += [1e3 * r.other_s for r in rounds]
    table = [
        {"arm": arm, flags.over: point, **{part: statistics.median(values) for part, values in cell.items()}}
        for (arm, point), cell in rows.items()
    ]
    print(f"{'arm':10s} {flags.over:>8s} {'draft ms':>10s} {'verify ms':>10s} {'other ms':>10s} {'other share':>12s}")
    for row in table:
        share = row["other"] / (row["draft"] + row["verify"] + row["other"])
        print(
            f"{row['arm']:10s} {row[flags.over]:8d} {row['draft']:10.3f} {row['verify']:10.3f} {row['other']:10.3f} "
            f"{share:11.1%}"
        )
    growth = {}
    for arm in drafters:
        costs = [row["draft"] for row in table if row["arm"] == arm]
        growth[arm] = costs[-1] / costs[0]
        first, last = POINTS[flags.over][0], POINTS[flags.over][-1]
        print(f"{arm}: draft cost at {flags.over}={last} is {growth[arm]:.2f}x that at {flags.over}={first}")
    result = {"over": flags.over, "execution": target.execution, "median_ms": table, "draft_growth": growth}
    keep("draft_cost", result, before, flags.over + ("-" + flags.name if flags.name else ""))


if __name__ == "__main__":
    main()
