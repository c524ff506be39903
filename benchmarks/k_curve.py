"""The curve over k that one run predicts, against real runs at each k.

    python -m benchmarks.k_curve [--family dense|e2b] [--parts predict,1,2,3,4,6,8,11,15] [--limit 42] [--redraft]

Claim under test: from one run at the largest k, at least 90 % of the real speedups lie within the predicted interval or
within 5 % of the prediction. Each part is a run of `python -m harness` of its own; parts that were done are kept in
`--folder`, so that a long benchmark can be taken in pieces. A part of the default 42 prompts takes about 40 s on two
cores, a family with its nine parts about six minutes, both twelve. The page lists every miss with its reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import hardware, keep, warn_if_busy
from harness.metrics.curve import Point
from harness.metrics.curve_file import read_curve
from harness.metrics.summary import overall, read_summary
from harness.vocabulary import ALL, BASELINE

TARGETS = {"dense": "embedded", "e2b": "embedded_e2b"}
PREDICT = "predict"
LARGEST = 15
WITHIN = 0.05
GOAL = 0.9


def decode(folder: Path, family: str, part: str, options: argparse.Namespace) -> float:
    """Run one part, unless `folder` has it; the seconds that it took."""
    if (folder / "summary.json").exists():
        return 0.0
    k = LARGEST if part == PREDICT else int(part)
    drafts = [f"num_draft_tokens={k}"]
    settings = [f"target={TARGETS[family]}", f"dataset.limit={options.limit}", f"repeats={options.repeats}"]
    settings += [f"execution={options.execution}", f"costs={str(part == PREDICT).lower()}", f"hydra.run.dir={folder}"]
    if part == PREDICT and options.redraft:
        settings.append("curve.redraft=true")
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "harness", *drafts, *settings], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{family}, part {part}: exit code {done.returncode}\n{done.stderr}")
    return time.perf_counter() - started


def compare(folder: Path, ks: list[int]) -> list[dict[str, Any]]:
    """Each real speedup beside the prediction, with a word on where it lies."""
    curves = read_curve(folder / PREDICT)
    rows = []
    for k in ks:
        summary = read_summary(folder / str(k))
        doubts = sorted({guard["code"] for guard in summary.get("guards", []) if guard["severity"] != "info"})
        for row in overall(summary):
            if row["arm"] == BASELINE:
                continue
            point = next((p for p in curves.get(row["arm"], ()) if p.k == k and p.category == ALL), None)
            if point is not None and point.speedup:
                rows.append(judged(k, row, point, doubts))
    return rows


def judged(k: int, row: Any, point: Point, doubts: list[str]) -> dict[str, Any]:
    """One comparison. A miss is explained by its parts: tokens per round, which are exact in any run, or times."""
    real, predicted = float(row["speedup_decode"]), float(point.speedup or 0)
    inside = point.low is not None and point.high is not None and point.low <= real <= point.high
    off = real / predicted - 1
    tokens_off = float(row["acceptance_length"]) / point.tokens_per_round - 1
    hit = inside or abs(off) <= WITHIN
    by_tokens = abs(tokens_off) > abs(off) / 2
    reason = "" if hit else ("tokens per round" if by_tokens else "time of a round")
    return {
        "k": k, "arm": row["arm"], "real": real, "predicted": predicted, "low": point.low, "high": point.high,
        "off": off, "tokens_off": tokens_off, "hit": hit, "miss_because_of": reason, "doubts": doubts,
    }  # fmt: skip


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        interval = f"{row['low']:.2f} to {row['high']:.2f}" if row["low"] else "no interval"
        line = f"{row['family']:6} k={row['k']:<3} {row['arm']:8} real {row['real']:.2f}x, "
        line += f"predicted {row['predicted']:.2f}x ({interval}), {row['off']:+.1%}, "
        line += f"tokens a round {row['tokens_off']:+.1%}"
        print(line + ("" if row["hit"] else f"  MISS: {row['miss_because_of']} {', '.join(row['doubts'])}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="both", choices=(*TARGETS, "both"))
    parser.add_argument("--parts", default=f"{PREDICT},1,2,3,4,6,8,11,15")
    parser.add_argument("--limit", type=int, default=42, help="prompts")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--execution", default="eager")
    parser.add_argument("--redraft", action="store_true", help="curve.redraft=true in the run that predicts")
    parser.add_argument("--folder", type=Path, default=Path("outputs/k_curve"))
    options = parser.parse_args()
    warn_if_busy()
    before = hardware()
    parts = options.parts.split(",")
    rows: list[dict[str, Any]] = []
    seconds = 0.0
    for family in TARGETS if options.family == "both" else [options.family]:
        folder = options.folder / f"{family}-{options.execution}-{options.limit}x{options.repeats}"
        for part in parts:
            took = decode(folder / part, family, part, options)
            seconds += took
            print(f"  {family} {part}: {took:.0f} s", file=sys.stderr, flush=True)
        ks = [int(part) for part in parts if part != PREDICT]
        if (folder / PREDICT / "curve.json").exists():
            rows += [{"family": family, **row} for row in compare(folder, ks)]
    print_rows(rows)
    if not rows:
        print("nothing to compare yet: the part `predict` and one k at least")
        return 0
    share = sum(row["hit"] for row in rows) / len(rows)
    print(f"{share:.0%} of {len(rows)} real speedups within the interval or {WITHIN:.0%}, {seconds:.0f} s")
    result: dict[str, Any] = {"within": WITHIN, "share": share, "goal": GOAL, "seconds": seconds}
    result |= {"prompts": options.limit, "redraft": options.redraft, "rows": rows}
    keep("k_curve", result, before, f"{options.family}-{options.execution}")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
