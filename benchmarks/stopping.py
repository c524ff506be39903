"""Checks the intervals of runs that stop when they are decided, on runs resampled from the prompts of a real one.

    python -m harness hydra.run.dir=outputs/table
    python -m benchmarks.stopping outputs/table --ratio 1.0

Each simulated run draws its prompts from the real run's, category by category, with replacement. Their measured log
ratios are moved so that the true ratio is known. The run looks after each block as `until` does, once with the levels
of `until` and once naively, with a 95 % interval at every look. The benchmark counts the intervals that hold the truth
where the run stopped, those that hold it at all looks, the verdicts, and the prompts saved. CPU only, on any machine.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import hardware, keep
from harness.metrics.certainty.looks import block_size, look_points, verdict
from harness.metrics.certainty.spending import look_levels
from harness.metrics.pairing import prompt_times
from harness.metrics.statistics import CONFIDENCE, ratio_intervals
from harness.records.frames import read_generations

Floats = NDArray[np.float64]


@dataclass
class Tally:
    """Counts over simulated runs under one rule."""

    held: int = 0
    held_always: int = 0
    words: Counter[str] = field(default_factory=Counter)
    prompts: list[int] = field(default_factory=list)


def log_ratios(folder: str, arm: str, other: str) -> tuple[Floats, list[str]]:
    """Log of other's over arm's seconds per token, one per prompt, and the prompts' categories."""
    times = prompt_times(read_generations(folder)).reset_index().set_index("prompt_id")
    mine, theirs = (times[times["arm"] == name]["decode_s_per_token"].dropna() for name in (arm, other))
    both = mine.index.intersection(theirs.index)
    if both.empty:
        raise SystemExit(f"{folder}: {arm} and {other} share no prompt; it has {', '.join(times['arm'].unique())}")
    categories = times[times["arm"] == arm].loc[both, "category"]
    return np.log(theirs[both].to_numpy() / mine[both].to_numpy()), list(categories)


def resampled(logs: Floats, categories: list[str], most: int, rng: np.random.Generator) -> Floats:
    """`most` draws, the categories in turn in proportion to their size: the order of a run with `until`."""
    sizes = Counter(categories)
    wanted = {name: round(most * size / len(logs)) for name, size in sizes.items()}
    places, drawn = [], []
    for name, count in wanted.items():
        own = logs[[category == name for category in categories]]
        drawn += list(rng.choice(own, count))
        places += [(i + 0.5) / count for i in range(count)]
    return np.array(drawn)[np.argsort(places, kind="stable")]


def simulate(logs: Floats, points: tuple[int, ...], levels: list[float], truth: float, margin: float, tally: Tally,
             resamples: int) -> None:  # fmt: skip
    """One run over `logs` in order; every look is taken, the first decided one counts as its end."""
    stopped, always = False, True
    for seen, level in zip(points, levels, strict=True):
        ratios = np.exp(logs[:seen])
        one, _ = ratio_intervals(ratios, np.ones(seen), confidence=level, resamples=resamples, seed=seen)
        holds = one.low is None or one.high is None or one.low <= truth <= one.high
        always &= holds
        words = verdict(one, margin)
        if not stopped and (words != "undecided" or seen == points[-1]):
            stopped = True
            tally.held += holds
            tally.words[words] += 1
            tally.prompts.append(seen)
    tally.held_always += always


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run directory")
    parser.add_argument("--arm", default="dflash")
    parser.add_argument("--other", default="mtp", help="the arm that it is compared with, baseline included")
    parser.add_argument("--ratio", type=float, default=1.0, help="the true ratio")
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--most", type=int, default=168, help="prompts of a run that is not stopped")
    parser.add_argument("--least", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=4000, help="of each bootstrap; until has 4000")
    options = parser.parse_args()
    logs, categories = log_ratios(options.run, options.arm, options.other)
    spread = float(logs.std(ddof=1))
    sizes = Counter(categories)
    own_mean = sum(logs[i] / sizes[c] * round(options.most * sizes[c] / len(logs)) for i, c in enumerate(categories))
    most = sum(round(options.most * size / len(logs)) for size in sizes.values())
    logs = logs - own_mean / most + np.log(options.ratio)
    points = look_points(most, block_size(most, len(sizes), 1), options.least)
    rules = {
        "until": [1 - error for error in look_levels(points, most, 1 - CONFIDENCE)],
        "naive": [CONFIDENCE] * len(points),
    }
    tallies = {name: Tally() for name in rules}
    rng = np.random.default_rng(0)
    for _ in range(options.runs):
        drawn = resampled(logs, categories, most, rng)
        for name, levels in rules.items():
            simulate(drawn, points, levels, options.ratio, options.margin, tallies[name], options.resamples)
    result: dict[str, Any] = {
        "question": f"{options.arm} against {options.other}, true ratio {options.ratio}, margin {options.margin}",
        "table": {"prompts": len(logs), "categories": len(sizes), "sd_of_log_ratio": round(spread, 4)},
        "runs": options.runs, "most": most, "looks": list(points), "resamples": options.resamples,
    }  # fmt: skip
    for name, tally in tallies.items():
        result[name] = {
            "coverage_where_stopped": tally.held / options.runs,
            "coverage_at_all_looks": tally.held_always / options.runs,
            "words": dict(tally.words),
            "mean_prompts": float(np.mean(tally.prompts)),
            "prompts_saved": 1 - float(np.mean(tally.prompts)) / most,
        }
        print(name, result[name], flush=True)
    keep("stopping", result, hardware(), f"{options.arm}-{options.other}-{options.ratio:g}")


if __name__ == "__main__":
    main()
