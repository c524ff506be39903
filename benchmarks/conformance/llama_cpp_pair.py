"""Runs the embedded families through llama.cpp and through the harness, and compares them round by round.

    make .venv-llama/.ready
    python -m benchmarks.conformance.llama_cpp_pair [--family embedded_e2b] [--through worker binary url]
        [--binary llama-server] [--prompts N] [--out FOLDER]

Greedy, fp32, 98 prompts of the embedded family and 56 of the E2B-like one. The first way to llama.cpp runs beside the
harness (engine.beside=true). The harness's rounds are counted as llama.cpp counts them
(`harness.metrics.engines.as_counted`), and MTP follows llama.cpp's conventions on both sides. Tokens must be equal.
Rounds at the same place must be, unless the drafter's two best tokens lie within `draft_ties.TIE` of each other; each
such place is printed. Every further way runs llama.cpp alone, whose tokens and rounds must be those of the first. Exit
code 1 otherwise. All prompts, arms and tokens in all three ways are kept in `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import hardware, keep
from benchmarks.conformance.draft_ties import TIE, Parted, parted
from benchmarks.conformance.llama_ways import WAYS, differences, through
from benchmarks.conformance.pair import add_arguments, compare, rounds_by_place, show
from drafters.registry import KINDS
from harness import load_drafter, load_target
from harness.config import RunConfig, read_config
from harness.engines.arms import ENGINES_JSON
from harness.records.frames import read_rounds
from harness.records.stored import read_object
from harness.run import gather, run
from harness.vocabulary import ASSETS, LLAMA_CPP

FAMILIES = {"embedded": ASSETS, "embedded_e2b": ASSETS / "e2b"}
PROMPTS = {"embedded": 98, "embedded_e2b": 56}
NEW_TOKENS = 128
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
    folders: Mapping[str, Path] | None = None,
    **options: Any,
) -> RunConfig:
    """The run: a family's target and drafters in both engines, under llama.cpp's conventions.

    `folders` has other checkpoints by arm.
    """
    folder = FAMILIES[family]
    drafters = {
        name: {"kind": kind, "num_draft_tokens": k, **ALIKE.get(kind, {})}
        | ({} if kind == "lookup" else {"path": str((folders or {}).get(name, folder / kind))})
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


def check(
    family: str, ways: Sequence[str], folder: Path, *, prompts: int, new_tokens: int,
    arms: Mapping[str, tuple[str, int]] = ARMS, binary: str | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    """The rows of the first way, beside the harness, and every difference of each; runs lie in `folder`/WAY."""
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for way in ways:
        with through(way, FAMILIES[family], arms, folder, binary) as engine:
            config = both_engines(family, prompts, new_tokens, arms, {"beside": way == ways[0], **engine})
            outcome = run(config, folder / way)
        if outcome.error or outcome.exit_code:
            wrong.append(f"{way}: exit code {outcome.exit_code}, {outcome.error}")
        if way == ways[0]:
            rows, found = judge(config, outcome.run_dir)
        else:
            found = differences(folder / ways[0], outcome.run_dir)
            print(f"{way}: {'as' if not found else 'not as'} through {ways[0]}")
        wrong += [f"{way}: {line}" for line in found]
    return rows, wrong


def versions_in(folder: Path) -> dict[str, str]:
    """The engine's packages as the run noted them; a binary and a server name none."""
    noted = read_object(folder / ENGINES_JSON, "no version is named") or {}
    return {name: version for arm in noted.values() for name, version in arm.get("versions", {}).items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Both engines on the embedded families, round by round.")
    parser.add_argument("--family", choices=FAMILIES, default="embedded")
    add_arguments(parser, prompts=0, new_tokens=NEW_TOKENS)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--through", nargs="+", default=["worker"], choices=WAYS, help="ways to llama.cpp")
    parser.add_argument("--binary", help="a llama-server; without one the wheel's server")
    asked, before = parser.parse_args(), hardware()
    prompts = asked.prompts or PROMPTS[asked.family]
    print(f"{asked.family}: drafts within {TIE} standard deviations of each other may fall otherwise")
    with tempfile.TemporaryDirectory() as scratch:
        rows, wrong = check(
            asked.family, list(dict.fromkeys(asked.through)), asked.out or Path(scratch), prompts=prompts,
            new_tokens=asked.new_tokens, arms={name: ARMS[name] for name in asked.arms}, binary=asked.binary,
        )  # fmt: skip
        versions = versions_in((asked.out or Path(scratch)) / asked.through[0])
    show(rows, LLAMA_CPP)
    for line in wrong:
        print(f"DIFFERS {line}")
    result = {
        "versions": versions, "prompts": prompts, "new_tokens": asked.new_tokens, "ways": asked.through,
        "binary": asked.binary, "rows": rows, "differences": wrong,
    }  # fmt: skip
    whole = (PROMPTS[asked.family], NEW_TOKENS, len(ARMS), len(WAYS))
    if (prompts, asked.new_tokens, len(set(asked.arms)), len(set(asked.through))) == whole:
        keep("conformance.llama_cpp_pair", result, before, asked.family)
    print(json.dumps({"exit_code": int(bool(wrong)), **result}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
