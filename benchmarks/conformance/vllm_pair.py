"""Runs the embedded pair through vLLM's CPU build and through the harness, and compares them counter by counter.

    bash tools/vllm/environment.sh
    python -m benchmarks.conformance.vllm_pair [--prompts 32] [--new-tokens 64] [--out FOLDER]

One run with both engines (engine.beside=true): greedy, fp32, the same prompts, vLLM's conventions: MTP steps stand
one position before the anchor, DFlash reads raw embedding rows. It prints drafts, drafted tokens, accepted tokens and
accepted tokens per position of both engines, and vLLM's own counters beside the rounds that the harness made of them.
Exit code 1 if tokens or a counter differ.

vLLM 0.32.0 on the CPU refuses a DFlash drafter that mixes sliding and full layers, and norms the context keys of every
layer with the first layer's `k_norm`. The embedded drafter has layers of one kind and key norms of one, so both engines
run it as it ships.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import RunConfig, read_config
from harness.records.frames import read_generations, read_rounds
from harness.run import run
from harness.vocabulary import ASSETS

ARMS = ("baseline", "mtp", "dflash", "lookup")
#: Keeps vLLM small, single-threaded and in one process per arm, for a machine that is shared.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
}
#: No compilation: it would take minutes and save seconds.
OPTIONS = {"enforce_eager": True}
Counts = dict[str, Any]


def both_engines(
    prompts: int, new_tokens: int, arms: Sequence[str], engine: Mapping[str, Any] | None = None
) -> RunConfig:
    """The run: the embedded target and its drafters in both engines, under vLLM's conventions."""
    return read_config(
        {
            "target": {
                "name": "embedded", "path": str(ASSETS / "target"), "dtype": "float32", "device": "cpu",
            },
            "dataset": {"name": "embedded", "path": str(ASSETS / "prompts.jsonl"), "limit": prompts, "thinking": False},
            "engine": {
                "name": "vllm", "beside": True, "options": OPTIONS, "environment": ENVIRONMENT, **(engine or {}),
            },
            "drafters": {
                "mtp": {"path": str(ASSETS / "mtp"), "position": "anchor-1", "num_draft_tokens": 4},
                "dflash": {
                    "path": str(ASSETS / "dflash"), "in_block": "layer_types", "input_embedding_scale": 1.0,
                    "num_draft_tokens": 15,
                },
                "lookup": {"num_draft_tokens": 4},
            },
            "drafter": [arm for arm in arms if arm != "baseline"],
            "max_new_tokens": new_tokens,
        }
    )  # fmt: skip


def counters_of(rounds: Any, arm: str, k: int) -> Counts:
    """vLLM's counters as computed from an arm's rounds."""
    drafting = rounds[(rounds["arm"] == arm) & (rounds["drafted"] > 0)]
    return {
        "num_drafts": len(drafting),
        "num_draft_tokens": int(drafting["drafted"].sum()),
        "num_accepted_tokens": int(drafting["accepted"].sum()),
        "num_accepted_tokens_per_pos": [int((drafting["accepted"] > place).sum()) for place in range(k)],
    }


def reported_counters(generations: Any, arm: str) -> Counts:
    """vLLM's own counters around each request, summed over an arm."""
    total: Counts = {}
    for one in generations.loc[generations["arm"] == arm, "engine_counters"]:
        for name, value in (one or {}).items():
            old = total.get(name)
            if isinstance(value, list):
                total[name] = [a + b for a, b in zip(value, old or [0] * len(value), strict=True)]
            else:
                total[name] = value + (old or 0)
    return total


def compare(run_dir: Path, arms: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Both engines' counters per arm, and every difference in words."""
    generations, rounds = read_generations(run_dir), read_rounds(run_dir)
    tokens = {(row.prompt_id, row.arm): list(row.token_ids or []) for row in generations.itertuples()}
    prompts = sorted({prompt for prompt, _ in tokens})
    found, wrong = [], []
    for arm in arms:
        theirs = f"vllm_{arm}"
        equal = sum(tokens.get((p, arm)) == tokens.get((p, theirs)) != [] for p in prompts)
        k = int(generations.loc[generations["arm"] == arm, "num_draft_tokens"].max())
        ours, vllm = counters_of(rounds, arm, k), counters_of(rounds, theirs, k)
        row = {"arm": arm, "equal_tokens": equal, "prompts": len(prompts), "harness": ours, "vllm": vllm}
        if equal < len(prompts):
            wrong.append(f"{arm}: {len(prompts) - equal} of {len(prompts)} answers differ")
        if arm != "baseline":
            row["vllm_metrics"] = reported_counters(generations, theirs)
            wrong += [f"{arm}: {name} is {ours[name]} here and {vllm[name]} in vLLM" for name in ours if
                      arm != "lookup" and ours[name] != vllm[name]]  # fmt: skip
            wrong += [f"{arm}: vLLM's metrics say {value} {name}, its rounds {vllm[name]}" for name, value in
                      row["vllm_metrics"].items() if name in vllm and value != vllm[name]]  # fmt: skip
        found.append(row)
    return found, wrong


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        print(f"{row['arm']}: {row['equal_tokens']} of {row['prompts']} answers equal")
        for side in ("harness", "vllm", "vllm_metrics"):
            counts = row.get(side) or {}
            if row["arm"] == "baseline" or not counts:
                continue
            drafts, accepted = counts["num_drafts"], counts["num_accepted_tokens"]
            tau = 1 + accepted / drafts if drafts else 1.0
            print(
                f"  {side:13} drafts {drafts:6} drafted {counts['num_draft_tokens']:7} accepted {accepted:6} "
                f"length {tau:.3f} per position {counts['num_accepted_tokens_per_pos']}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="Both engines on the embedded pair, counter by counter.")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--arms", nargs="+", default=list(ARMS[:3]), choices=ARMS)
    parser.add_argument("--out", type=Path, help="keep the run here; the same folder continues it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.out or Path(scratch) / "run"
        outcome = run(both_engines(asked.prompts, asked.new_tokens, asked.arms), folder)
        rows, wrong = compare(folder, asked.arms)
    show(rows)
    for line in wrong:
        print(f"DIFFERS {line}")
    if outcome.error:
        print(f"run: {outcome.error}")
    print(json.dumps({"exit_code": int(bool(wrong) or outcome.exit_code), "rows": rows, "differences": wrong}))
    return int(bool(wrong) or outcome.exit_code != 0)


if __name__ == "__main__":
    sys.exit(main())
