"""Milliseconds of a round against context and against batch, for the baseline and both drafters, as JSON and PNG.

    python -m benchmarks.round_cost [--size embedded|E2B|...|31B] [--execution eager] [--quick]

Claims under test: the full layers' attention is most of what a long context adds, sliding layers and drafters add
little; a batch costs less than its rows one by one. Weights are random, at the shapes of the embedded pair (stretched
beyond its 2048 positions) or of a published size, and no draft is accepted. MTP drafts 4 tokens a round, DFlash 15.
`--quick` only shows that the benchmark works.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.common import arguments, hardware, keep, warn_if_busy
from benchmarks.peers import ASSETS
from benchmarks.rounds import Point, draw_kept, growth, measure, print_table, prompt_of
from harness.decoding import pool
from harness.target import random_weights, shapes
from harness.target.devices import parse_device

K: dict[str, int | None] = {"baseline": None, "mtp": 4, "dflash": 15}
CONTEXTS, BATCHES = (256, 512, 1024, 2048, 4096, 8192), (1, 2, 4, 8, 16)
CONTEXT_OF_A_BATCH = 256
POSITIONS = 16384


def stretched(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with positions for every context here: rotary positions need no training where weights are random."""
    text = {"text_config": stretched(config["text_config"])} if config.get("text_config") else {}
    return {**config, **text, "max_position_embeddings": POSITIONS}


def build(size: str, execution: str) -> tuple[Any, dict[str, Any]]:
    """The target and its arms, without drafters that are not published for `size`."""
    device = parse_device("auto")
    if size == "embedded":
        raw = {name: stretched(json.loads((ASSETS / name / "config.json").read_text())) for name in ("target", *K)
               if name != "baseline"}  # fmt: skip
    else:
        size = random_weights.check_size(size)
        raw = {"target": shapes.target(size), "mtp": shapes.assistant(size)}
        raw |= {} if size in shapes.EDGE else {"dflash": shapes.zlab(size)}
    dtype = torch.bfloat16 if device.type == "cuda" and size != "embedded" else torch.float32
    target = random_weights.build_target(raw.pop("target"), device, dtype, execution=execution)
    drafters = {name: random_weights.build_random_drafter(name, config, target=target) for name, config in raw.items()}
    return target, {"baseline": None, **drafters}


def points_of(over: str, values: Sequence[int], vocabulary: int) -> list[Point]:
    """Prompts of each context length alone, or batches of each size at one length."""
    shapes_of = {"context": lambda value: (1, value), "batch": lambda value: (value, CONTEXT_OF_A_BATCH)}[over]
    return [
        Point(value, [prompt_of(length, vocabulary, seed) for seed in range(rows)], K)
        for value, (rows, length) in ((value, shapes_of(value)) for value in values)
    ]


def main() -> None:
    flags = arguments(
        __doc__ or "",
        size={"default": "embedded"},
        execution={"default": "auto"},
        tokens={"type": int, "default": 32},
        quick={"action": "store_true"},
    )
    warn_if_busy()
    before = hardware()
    target, arms = build(flags.size, flags.execution)
    contexts, batches = (CONTEXTS[:2], BATCHES[:2]) if flags.quick else (CONTEXTS, BATCHES)
    tokens, repeats = (6, 1) if flags.quick else (flags.tokens, flags.repeats)
    sweeps = []
    for over, values in (("context", contexts), ("batch", batches)):
        points = points_of(over, values, target.vocab_size)
        rows = measure(target, arms, over, points, tokens=tokens, repeats=repeats)
        print_table(rows, over)
        sweeps.append({"over": over, "median_ms": rows, "draft_growth": growth(rows, over)})
        pool.clear(target)  # frees the caches of one sweep before the next
    result = {
        "synthetic": "random weights, no draft accepted",
        "size": flags.size,
        "execution": target.execution,
        "k": {arm: K[arm] for arm in arms},
        "sweeps": sweeps,
    }
    what = "-".join(filter(None, (flags.size, target.execution, "quick" if flags.quick else "", flags.name)))
    draw_kept(keep("round_cost", result, before, what))


if __name__ == "__main__":
    main()
