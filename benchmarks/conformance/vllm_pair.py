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
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.conformance.pair import add_arguments, compare, run_and_compare
from harness.config import RunConfig, read_config
from harness.vocabulary import ASSETS, VLLM

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


def main() -> int:
    parser = argparse.ArgumentParser(description="Both engines on the embedded pair, counter by counter.")
    add_arguments(parser, prompts=32, new_tokens=64)
    parser.add_argument("--arms", nargs="+", default=list(ARMS[:3]), choices=ARMS)
    asked = parser.parse_args()
    config = both_engines(asked.prompts, asked.new_tokens, asked.arms)
    return run_and_compare(config, asked.out, VLLM, lambda folder: compare(folder, asked.arms, VLLM))


if __name__ == "__main__":
    sys.exit(main())
