"""Floors of a published target and its drafters on a device of which two rates are known; nothing is run.

    python -m benchmarks.floors --size 31B --bandwidth 2.99e12 --operations 7e14 [--k 4] [--context 512] [--batch 1]

Prints the floor of decode, verify and draft in bf16, and the most that a round's tokens can be worth.
"""

from __future__ import annotations

import argparse

from drafters.costs.gemma4 import target_shape
from drafters.costs.shape import Rates, cost, draft_seconds, least_seconds
from drafters.registry import find_kind, resolve
from harness.target import shapes

BYTES = 2  # of a number in bf16


def floors(size: str, rates: Rates, k: int, context: int, batch: int) -> dict[str, float]:
    """Milliseconds of the floors, by pass: decode, verify, and drafting by each kind that is published for `size`."""
    target = target_shape(shapes.target(size))
    bandwidth = rates.bytes_per_s(BYTES * target.numbers)
    found = {}
    for name, width in (("decode", 1), ("verify", k + 1)):
        moved = cost(target, width, context, batch=batch, size=BYTES)
        found[name] = 1e3 * float(least_seconds(moved, bandwidth, rates.operations_per_s))
    for kind in shapes.DRAFTERS:
        raw, costs = shapes.drafter(kind, size), find_kind(kind).costs
        if raw is not None and costs is not None:
            shape = resolve(costs)(raw, shapes.target(size))
            drafter = float(BYTES * (target.numbers + shape.numbers))
            options = {"k": k, "batch": batch, "size": BYTES, "rates": rates, "round_bytes": drafter}
            found[kind] = 1e3 * float(draft_seconds(shape, k, context, **options))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="31B", choices=shapes.NAMES)
    parser.add_argument("--bandwidth", type=float, required=True, help="bytes a second")
    parser.add_argument("--operations", type=float, required=True, help="operations a second of a matrix product")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    flags = parser.parse_args()
    if min(flags.bandwidth, flags.operations, flags.k, flags.batch) <= 0 or flags.context < 0:
        parser.error("expected rates, --k and --batch above 0, and a --context of 0 or more")
    rates = Rates(flags.operations, ((1, flags.bandwidth),))
    found = floors(flags.size, rates, flags.k, flags.context, flags.batch)
    step, verify = found.pop("decode"), found.pop("verify")
    print(f"decode {step:.2f} ms, {1e3 * flags.batch / step:.1f} tok/s; verify {flags.k + 1} rows {verify:.2f} ms")
    for kind, draft in found.items():
        most = step / (draft + verify)
        best = most * (flags.k + 1)
        print(f"{kind}: draft {draft:.2f} ms; t tokens a round are worth {most:.2f} t, {best:.1f}x at most")


if __name__ == "__main__":
    main()
