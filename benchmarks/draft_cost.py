"""Draft and verify milliseconds of a round against k, for both drafters, as JSON and PNG.

    python -m benchmarks.draft_cost [--family e2b|12B|26B-A4B|31B] [--execution eager] [--k 1,15] [--tokens 64]

Claim under test: MTP's draft cost grows with k, DFlash's does not. The drafters are those of an embedded family, or of
published shapes with random weights, too large for any cache. A published target is as wide as it is published but has
six of its layers, since the cost of drafting does not depend on their number. Acceptance does not change the cost of a
round. benchmarks/round_cost.py varies context and batch.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.common import arguments, hardware, keep, warn_if_busy
from benchmarks.peers import ASSETS
from benchmarks.rounds import Point, draw_kept, growth, measure, print_table, prompt_of
from harness import load_drafter, load_target
from harness.target import random_weights, shapes
from harness.target.devices import parse_device

CONTEXT = 100
DRAFTERS = ("mtp", "dflash")
FAMILIES = {"dense": ASSETS, "e2b": ASSETS / "e2b"}
LAYERS = 6  # one full layer after its run of sliding ones, and one for each that DFlash taps


def embedded(family: str, execution: str) -> dict[str, Any]:
    """The target of an embedded family as "baseline", and its drafters."""
    folder = FAMILIES[family]
    target = load_target(str(folder / "target"), device="auto", dtype="float32", execution=execution)
    return {"baseline": target, **{name: load_drafter(name, str(folder / name), target=target) for name in DRAFTERS}}


def published(size: str, execution: str) -> dict[str, Any]:
    """The same at a published size, in bf16, with random weights and a target of `LAYERS` layers."""
    whole, block = shapes.target(size), shapes.zlab(size)
    text = whole["text_config"]
    text |= {"num_hidden_layers": LAYERS, "layer_types": text["layer_types"][:LAYERS]}
    block |= {"num_target_layers": LAYERS}
    block["dflash_config"] |= {"target_layer_ids": list(range(LAYERS))}
    target = random_weights.build_target(whole, parse_device("auto"), torch.bfloat16, execution=execution)
    configs = {"mtp": shapes.assistant(size), "dflash": block}
    drafters = {name: random_weights.build_random_drafter(name, raw, target=target) for name, raw in configs.items()}
    return {"baseline": target, **drafters}


def drafted(text: str) -> tuple[int, ...]:
    return tuple(int(k) for k in text.split(","))


def main() -> None:
    flags = arguments(
        __doc__ or "",
        family={"default": "dense", "choices": (*FAMILIES, *shapes.SERVER)},
        execution={"default": "auto"},
        k={"type": drafted, "default": (1, 2, 4, 6, 8, 11, 15), "help": "comma-separated, ascending"},
        tokens={"type": int, "default": 64},
    )
    warn_if_busy()
    before = hardware()
    made = (embedded if flags.family in FAMILIES else published)(flags.family, flags.execution)
    target, arms = made["baseline"], {**made, "baseline": None}
    prompts = [prompt_of(CONTEXT, target.vocab_size)]
    points = [Point(k, prompts, {"baseline": None, **dict.fromkeys(DRAFTERS, k)}) for k in flags.k]
    rows = measure(target, arms, "k", points, tokens=flags.tokens, repeats=flags.repeats)
    print_table(rows, "k")
    result: dict[str, Any] = {"family": flags.family, "over": "k", "execution": target.execution, "median_ms": rows}
    if flags.family not in FAMILIES:
        result["synthetic"] = f"random weights; verify is a pass of {LAYERS} layers, not the target's"
    result["draft_growth"] = growth(rows, "k")
    what = "-".join(filter(None, (flags.family, target.execution, flags.name)))
    draw_kept(keep("draft_cost", result, before, what))


if __name__ == "__main__":
    main()
