"""Times rounds by the loop's own clock while one setting varies; gives rows, a table and a plot.

    python -m benchmarks.rounds benchmarks/results/draft_cost/*.json     # draws kept results again
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.strength import floor_ms, strengths
from harness import generate
from harness.report.charts.drawing import PNG_DPI, WIDTH, drawing
from harness.report.charts.palette import arm_colour, light

PARTS = ("draft", "verify", "other")
LABELS = {"k": "drafted tokens a round (k)", "context": "tokens of context", "batch": "rows of the batch"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One setting of a sweep: its value, the prompts, and each arm's k (None: the baseline)."""

    value: int
    prompts: list[list[int]]
    k: Mapping[str, int | None]


def prompt_of(length: int, vocabulary: int, seed: int = 0) -> list[int]:
    """`length` random token ids: the cost of a pass does not depend on their values."""
    return random.Random(seed).choices(range(10, vocabulary), k=length)


def measure(
    target: Any, arms: Mapping[str, Any], over: str, points: Sequence[Point], *, tokens: int, repeats: int
) -> list[Row]:
    """Median milliseconds of a round by part, arms in turn at every point, after one pass of warm-up.

    No draft is accepted, so every answer has as many rounds as `tokens` and the context hardly moves.
    """
    timed: dict[tuple[str, int], dict[str, list[float]]] = {}
    for repeat in range(repeats + 1):
        for point in points:
            for arm, drafter in arms.items():
                k = point.k[arm]
                options = {"num_draft_tokens": k, "synthetic_acceptance": [0.0] * (k or 0), "max_new_tokens": tokens}
                # Leave out the first round, which a drafter's own prefill is charged to.
                rounds = generate(target, drafter, point.prompts, **options)[0].rounds[1:]
                if repeat:
                    cell = timed.setdefault((arm, point.value), {part: [] for part in PARTS})
                    for part in PARTS:
                        cell[part] += [1e3 * getattr(one, f"{part}_s") for one in rounds]
            print(f"  {over}={point.value}, pass {repeat} of {repeats}", file=sys.stderr, flush=True)
    settings = {point.value: point for point in points}
    rows = []
    for (arm, value), cell in timed.items():
        point, parts = settings[value], {part: statistics.median(cell[part]) for part in PARTS}
        context = len(point.prompts[0]) + tokens // 2
        floors = floor_ms(target, arms[arm], point.k[arm] or 0, context, len(point.prompts))
        rows.append({"arm": arm, over: value, **parts, **floors, **strengths(floors, **parts)})
    return rows


def growth(rows: Sequence[Row], over: str, part: str = "draft") -> dict[str, float]:
    """Cost of `part` at the last point over its cost at the first, per drafting arm."""
    found = {}
    for arm in dict.fromkeys(row["arm"] for row in rows if row["arm"] != "baseline"):
        costs = [row[part] for row in sorted((r for r in rows if r["arm"] == arm), key=lambda row: int(row[over]))]
        found[arm] = costs[-1] / costs[0]
    return found


def print_table(rows: Sequence[Row], over: str) -> None:
    titles = " ".join(f"{part + ' ms':>10s}" for part in PARTS)
    print(f"{'arm':10s} {over:>8s} {titles} {'other share':>12s} {'strength':>9s}")
    for row in rows:
        share = row["other"] / sum(row[part] for part in PARTS)
        parts = " ".join(f"{row[part]:10.3f}" for part in PARTS)
        print(f"{row['arm']:10s} {row[over]:8d} {parts} {share:11.1%} {row['strength']:9.2f}")
    for arm, times in growth(rows, over).items():
        print(f"{arm}: drafting at the last {over} costs {times:.2f}x as much as at the first")


def draw(result: Mapping[str, Any], path: Path) -> None:
    """One panel per sweep of `result`: whole rounds as solid lines, their drafting as dashed ones."""
    from matplotlib.figure import Figure

    sweeps = result.get("sweeps") or [result]
    with drawing():
        figure = Figure(figsize=(WIDTH * len(sweeps), 3.6), layout="constrained")
        for place, sweep in enumerate(sweeps):
            axes = figure.add_subplot(1, len(sweeps), place + 1)
            over, rows = sweep["over"], sweep["median_ms"]
            for arm in dict.fromkeys(row["arm"] for row in rows):
                own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: int(row[over]))
                values, colour = [row[over] for row in own], light(arm_colour(arm))
                axes.plot(values, [sum(row[part] for part in PARTS) for row in own], "o-", color=colour, label=arm)
                if arm != "baseline":
                    axes.plot(values, [row["draft"] for row in own], "o--", color=colour, markersize=3, linewidth=1)
            if over != "k":
                axes.set_xscale("log", base=2)
            ticks = sorted({row[over] for row in rows})
            axes.set_xticks(ticks, [str(value) for value in ticks])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set(xlabel=LABELS[over], ylabel="ms of a round (dashed: drafting)")
        figure.axes[0].legend(frameon=False)
        hardware = result["hardware"]
        where = hardware["gpu"] or f"{hardware['cpu']}, {hardware['threads']} threads"
        title = f"{where}, {result['date']}, load {hardware['load_before']:.1f} before"
        if result.get("synthetic"):
            title += f"\n{result['synthetic']}"
        figure.suptitle(title, fontsize=9)
        figure.savefig(path, dpi=PNG_DPI, facecolor=light("card"))
    print(f"drawn in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def draw_kept(path: Path) -> None:
    """The plot of a result file, beside it."""
    draw(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".png"))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        draw_kept(Path(name).resolve())
