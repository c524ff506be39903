"""What drafting costs against k: draft and verify milliseconds of a round for both drafters, as JSON and PNG.

    python -m benchmarks.draft_cost [--family e2b] [--execution eager] [--tokens 64]

Claim under test: MTP's draft cost grows with k, DFlash's does not. On an embedded family; what is accepted does not
change what a round costs. Against context and batch: benchmarks/round_cost.py.
"""

from __future__ import annotations

from benchmarks.common import arguments, hardware, keep, warn_if_busy
from benchmarks.peers import ASSETS
from benchmarks.rounds import Point, draw_kept, growth, measure, print_table, prompt_of
from harness import load_drafter, load_target

K = (1, 2, 4, 6, 8, 11, 15)
CONTEXT = 100
FAMILIES = {"dense": ASSETS, "e2b": ASSETS / "e2b"}


def main() -> None:
    flags = arguments(
        __doc__ or "",
        family={"default": "dense", "choices": FAMILIES},
        execution={"default": "auto"},
        tokens={"type": int, "default": 64},
    )
    folder = FAMILIES[flags.family]
    warn_if_busy()
    before = hardware()
    target = load_target(str(folder / "target"), device="auto", dtype="float32", execution=flags.execution)
    drafters = {name: load_drafter(name, str(folder / name), target=target) for name in ("mtp", "dflash")}
    prompts = [prompt_of(CONTEXT, target.vocab_size)]
    points = [Point(k, prompts, {"baseline": None, **dict.fromkeys(drafters, k)}) for k in K]
    arms = {"baseline": None, **drafters}
    rows = measure(target, arms, "k", points, tokens=flags.tokens, repeats=flags.repeats)
    print_table(rows, "k")
    result = {"family": flags.family, "over": "k", "execution": target.execution, "median_ms": rows}
    result["draft_growth"] = growth(rows, "k")
    suffix = "-".join(part for part in ("k", flags.family.replace("dense", ""), flags.name) if part)
    draw_kept(keep("draft_cost", result, before, suffix))


if __name__ == "__main__":
    main()
