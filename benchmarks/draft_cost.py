"""What drafting costs against k: draft and verify milliseconds of a round for both drafters, as JSON and PNG.

    python -m benchmarks.draft_cost [--execution eager] [--tokens 64]

Claim under test: MTP's draft cost grows with k, DFlash's does not. On the embedded pair; what is accepted does not
change what a round costs. Against context and batch: benchmarks/round_cost.py.
"""

from __future__ import annotations

from benchmarks.common import arguments, hardware, keep, warn_if_busy
from benchmarks.peers import ASSETS
from benchmarks.rounds import Point, draw_kept, growth, measure, print_table, prompt_of
from harness import load_drafter, load_target

K = (1, 2, 4, 6, 8, 11, 15)
CONTEXT = 100


def main() -> None:
    flags = arguments(__doc__ or "", execution={"default": "auto"}, tokens={"type": int, "default": 64})
    warn_if_busy()
    before = hardware()
    target = load_target(str(ASSETS / "target"), device="auto", dtype="float32", execution=flags.execution)
    drafters = {name: load_drafter(name, str(ASSETS / name), target=target) for name in ("mtp", "dflash")}
    prompts = [prompt_of(CONTEXT, target.vocab_size)]
    points = [Point(k, prompts, {"baseline": None, **dict.fromkeys(drafters, k)}) for k in K]
    arms = {"baseline": None, **drafters}
    rows = measure(target, arms, "k", points, tokens=flags.tokens, repeats=flags.repeats)
    print_table(rows, "k")
    result = {"over": "k", "execution": target.execution, "median_ms": rows, "draft_growth": growth(rows, "k")}
    draw_kept(keep("draft_cost", result, before, "k" + ("-" + flags.name if flags.name else "")))


if __name__ == "__main__":
    main()
