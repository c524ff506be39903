"""Runs the embedded families through llama.cpp and through the harness, and compares them round by round.

    make .venv-llama/.ready
    .venv-llama/bin/python -m benchmarks.conformance.llama_cpp_pair [--family embedded_e2b] [--prompts N] [--out FOLDER]

One run with both engines (engine.beside=true) per family: greedy, fp32, 98 prompts of the embedded family and 56 of the
E2B-like one. The harness's rounds are counted as llama.cpp counts them (`harness.metrics.engines.as_counted`), and
MTP follows llama.cpp's conventions on both sides. Tokens must be equal. Rounds at the same place must be, unless the
drafter's two best tokens lie within `draft_ties.TIE` of each other; each such place is printed. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.conformance.draft_ties import TIE, Parted, parted
from benchmarks.conformance.pair import add_arguments, compare, rounds_by_place, run_and_compare
from drafters.registry import KINDS
from harness import load_drafter, load_target
from harness.config import RunConfig, read_config
from harness.records.frames import read_rounds
from harness.run import gather
from harness.vocabulary import ASSETS, LLAMA_CPP

FAMILIES = {"embedded": ASSETS, "embedded_e2b": ASSETS / "e2b"}
PROMPTS = {"embedded": 98, "embedded_e2b": 56}
#: Arms by name, with their kind and k.
ARMS = {f"{kind}{k}": (kind, k) for kind, k in (("mtp", 1), ("mtp", 4), ("mtp", 8), ("dflash", 4), ("dflash", 15))}
#: llama.cpp's conventions, in the harness's words.
ALIKE = {kind: dict(record.engines[LLAMA_CPP].conventions) for kind, record in KINDS.items() if record.trained}


def both_engines(
    family: str,
    prompts: int,
    new_tokens: int,
    arms: Mapping[str, tuple[str, int]] = ARMS,
    engine: Mapping[str, Any] | None = None,
    **options: Any,
) -> RunConfig:
    """The run: a family's target and drafters in both engines, under llama.cpp's conventions."""
    folder = FAMILIES[family]
    drafters = {
        name: {"kind": kind, "num_draft_tokens": k, **ALIKE.get(kind, {})}
        | ({} if kind == "lookup" else {"path": str(folder / kind)})
        for name, (kind, k) in arms.items()
    }
    return read_config(
        {
            "target": {"name": family, "path": str(folder / "target"), "dtype": "float32", "device": "cpu"},
            "dataset": {"name": "embedded", "path": str(ASSETS / "prompts.jsonl"), "limit": prompts, "thinking": False},
            "engine": {"name": LLAMA_CPP, "beside": True, **(engine or {})},
            "drafters": drafters,
            "drafter": list(drafters),
            "max_new_tokens": new_tokens,
            "execution": "eager",
            "costs": False,
            **options,
        }
    )


def parted_rounds(config: RunConfig, folder: Path) -> dict[str, list[Parted]]:
    """Per drafting arm of a finished run: the places where both engines begin a round and accept otherwise."""
    rounds, target = read_rounds(folder), load_target(config.target.path, execution="eager")
    prompts = {name: one.token_ids for name, one in gather(config).rendered.items()}
    found = {}
    for arm in config.arms:
        if arm.engine == LLAMA_CPP or arm.kind not in ("mtp", "dflash"):
            continue
        ours = rounds_by_place(rounds, arm.name, config.max_new_tokens)
        theirs = rounds_by_place(rounds, f"{LLAMA_CPP}_{arm.name}", None)
        drafter = load_drafter(arm.kind, arm.path, target=target, **arm.options)
        found[arm.name] = parted(
            target, drafter, prompts, ours, theirs,
            num_draft_tokens=arm.num_draft_tokens, max_new_tokens=config.max_new_tokens,
            eos_token_ids=target.eos_token_ids,
        )  # fmt: skip
    return found


def judge(config: RunConfig, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Both engines' counters per arm with the places where rounds part, and every difference that is no tie."""
    arms = [arm.name for arm in config.arms if arm.engine != LLAMA_CPP]
    rows, differences = compare(folder, ["baseline", *arms], LLAMA_CPP, config.max_new_tokens)
    places = parted_rounds(config, folder)
    tied = {arm for arm, found in places.items() if found and all(one.tie for one in found)}
    for row in rows:
        row["parted"] = [str(one) for one in places.get(row["arm"], ())]
        for line in row["parted"]:
            print(f"{row['arm']}: {line}")
    wrong = [f"{arm}: {one}" for arm, found in places.items() for one in found if not one.tie]
    # Counts follow from the rounds: they may differ where every parted round is a tie.
    wrong += [line for line in differences if line.partition(":")[0] not in tied or "answers differ" in line
              or "metrics say" in line]  # fmt: skip
    return rows, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Both engines on the embedded families, round by round.")
    parser.add_argument("--family", choices=FAMILIES, default="embedded")
    add_arguments(parser, prompts=0, new_tokens=128)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    asked = parser.parse_args()
    arms = {name: ARMS[name] for name in asked.arms}
    config = both_engines(asked.family, asked.prompts or PROMPTS[asked.family], asked.new_tokens, arms)
    print(f"{asked.family}: drafts within {TIE} standard deviations of each other may fall otherwise")
    return run_and_compare(config, asked.out, LLAMA_CPP, lambda folder: judge(config, folder))


if __name__ == "__main__":
    sys.exit(main())
