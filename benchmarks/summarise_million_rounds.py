"""Times a summary and its report over runs of growing size: synthetic runs on disk, read back from their files.

Usage: python benchmarks/summarise_million_rounds.py [ROUNDS ...]    (default: 10000 100000 1000000)

Each size runs in its own process, so that peak memory is its own. CPU seconds stand beside wall seconds, since a busy
machine stretches only the latter. Writing the synthetic run is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.metrics.summary import summarise
from harness.records.journal import GenerationRow, Journal
from harness.records.rounds import Round
from harness.report import write_report

ARMS = {"baseline": 0, "mtp": 4, "dflash": 15}
CATEGORIES = ("code", "sums", "extraction", "lists", "rewriting", "stories")
TOKENS = 200
LIMIT_SECONDS, LIMIT_BYTES = 15.0, 2 * 1024**3


def write_run(folder: Path, rounds: int, seed: int = 0) -> int:
    """Write a run of about `rounds` rounds, over as many prompts as needed; gives the exact number."""
    rng = np.random.default_rng(seed)
    written = prompt = 0
    with Journal(folder, {"config": {"synthetic": rounds}, "checkpoints": {}}) as journal:
        while written < rounds:
            finished = []
            for _ in range(50):
                count = int(rng.integers(TOKENS // 2, TOKENS * 3 // 2))
                token_ids = rng.integers(0, 1000, count).tolist()
                for arm, k in ARMS.items():
                    turns = one_output(rng, count, k)
                    written += len(turns)
                    finished.append((one_generation(f"p{prompt}", arm, k, token_ids, turns), turns))
                prompt += 1
            journal.append_all(finished)
    return written


def one_output(rng: np.random.Generator, tokens: int, k: int) -> list[Round]:
    """The rounds of one output, with geometric acceptance and noisy times."""
    rounds: list[Round] = []
    left = tokens - 1
    while left:
        accepted = min(int(rng.geometric(0.35)) - 1, k)
        emitted = min(accepted + 1, left)
        draft, verify, other = (0.0005 * k, 0.010 + 0.0002 * k, 0.0003) * rng.gamma(50, 1 / 50, 3)
        rounds.append(Round(len(rounds), tokens - left, k, accepted, emitted, draft, verify, other))
        left -= emitted
    return rounds


def one_generation(prompt_id: str, arm: str, k: int, token_ids: list[int], rounds: list[Round]) -> GenerationRow:
    return GenerationRow(
        prompt_id,
        arm,
        CATEGORIES[int(prompt_id[1:]) % len(CATEGORIES)],
        num_draft_tokens=k,
        token_ids=token_ids,
        pieces=["word "] * len(token_ids),
        text="word " * len(token_ids),
        finish_reason="eos",
        prefill_s=0.03,
        decode_s=sum(r.draft_s + r.verify_s + r.other_s for r in rounds),
        verdict=None if arm == "baseline" else "exact",
    )


def measure(folder: str, results: Any) -> None:
    before, busy_before = time.perf_counter(), time.process_time()
    summary = summarise(folder)
    summarised = time.perf_counter() - before
    write_report(folder)
    seconds, busy = time.perf_counter() - before, time.process_time() - busy_before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    results.put(
        {
            "seconds": seconds,
            "report_seconds": seconds - summarised,
            "cpu_seconds": busy,
            "peak_bytes": peak,
            "rows": len(summary["rows"]),
        }
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rounds", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().rounds
    processes = multiprocessing.get_context("spawn")
    kept = []
    print(f"{'rounds':>10} {'seconds':>9} {'report s':>9} {'cpu s':>9} {'peak MiB':>9} {'us/round':>9}")
    for size in sizes:
        folder = Path(tempfile.mkdtemp())
        try:
            rounds = write_run(folder, size)
            results = processes.Queue()
            worker = processes.Process(target=measure, args=(str(folder), results))
            worker.start()
            result = results.get()
            worker.join()
        finally:
            shutil.rmtree(folder)
        kept.append({"rounds": rounds, **result})
        print(f"{rounds:>10} {result['seconds']:>9.2f} {result['report_seconds']:>9.2f} {result['cpu_seconds']:>9.2f} "
              f"{result['peak_bytes'] / 2**20:>9.0f} {result['seconds'] / rounds * 1e6:>9.2f}")  # fmt: skip
    print(json.dumps(kept))
    within = all(one["seconds"] < LIMIT_SECONDS and one["peak_bytes"] < LIMIT_BYTES for one in kept)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
