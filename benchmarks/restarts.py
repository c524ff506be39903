"""Checks that an interval of restarts=3 holds in the next run: 20 processes of one configuration, on an idle machine.

    python -m benchmarks.restarts

One run of 20 fresh processes is decoded. Every three neighbours among them, the last beside the first, count as a run
of restarts=3; every process by itself counts as a plain run. The intervals of each are held against the speedup pooled
over all 20. Exits with 1 if fewer than 18 of 20 intervals of restarts=3 hold it for any arm.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import hardware, keep, warn_if_busy
from harness.metrics.pairing import paired_speedups
from harness.records.frames import read_generations
from harness.vocabulary import ALL

LEAST_SHARE = 0.9
NAMES = ("arm", "num_draft_tokens", "other")


def overall(generations: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The comparisons over all categories, by arm, k and the other arm."""
    rows = paired_speedups(generations).to_dict("records")
    return {tuple(row[name] for name in NAMES): row for row in rows if row["category"] == ALL}


def check(generations: pd.DataFrame, at_once: int) -> dict[str, Any]:
    """Per comparison: the pooled speedup, that of each process, and how many intervals hold the pooled one."""
    count = int(generations["process"].max()) + 1
    alone = [overall(generations[generations["process"] == one]) for one in range(count)]
    groups = [[(one + place) % count for place in range(at_once)] for one in range(count)]
    several = [overall(generations[generations["process"].isin(group)]) for group in groups]
    found = {}
    for key, row in overall(generations).items():
        pooled = row["speedup_decode"]
        holds = {
            name: sum(bool(one[key]["speedup_decode_low"] <= pooled <= one[key]["speedup_decode_high"]) for one in runs)
            for name, runs in (("one_process", alone), (f"restarts_{at_once}", several))
        }
        arm, k, other = key
        found[f"{arm} k={k} over {other}"] = {
            "pooled": pooled,
            "spread": row["speedup_decode_run_spread"],
            "of_each_process": [one[key]["speedup_decode"] for one in alone],
            "intervals": count,
            "hold": holds,
        }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=3, help="processes of one interval")
    parser.add_argument("--run", type=Path, help="a finished run with restarts, to check without decoding")
    parser.add_argument("overrides", nargs="*", help="of the run, as execution=compile")
    options = parser.parse_args()
    machine = hardware()
    if options.run is None:
        warn_if_busy()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.run or Path(scratch) / "run"
        if options.run is None:
            asked = ["dataset.limit=28", "max_new_tokens=64", *options.overrides]
            command = [sys.executable, "-m", "harness", *asked, f"restarts={options.processes}"]
            subprocess.run([*command, f"hydra.run.dir={folder}"], check=True, stdout=subprocess.DEVNULL)
        found = check(read_generations(folder), options.at_once)
    failed = 0
    for name, one in found.items():
        low, high = min(one["of_each_process"]), max(one["of_each_process"])
        held = one["hold"][f"restarts_{options.at_once}"]
        failed += held < LEAST_SHARE * one["intervals"]
        print(f"{name}: pooled {one['pooled']:.3f}, single processes {low:.3f} to {high:.3f}; "
              f"hold it of {one['intervals']}: {one['hold']}")  # fmt: skip
    keep("restarts", {"comparisons": found}, machine, "-".join(["quick", *options.overrides]).replace("=", "-"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
