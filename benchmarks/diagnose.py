"""Plants wrong wirings into copies of the shipped drafters' configs and counts how many the diagnosis finds.

    python -m benchmarks.diagnose [--family dense|e2b] [--drafter mtp|dflash] [--prompts 84] [--anchors 2000]

Every shipped drafter is first diagnosed as it is, where no other wiring may be better. A planted case is a hit where
the best of the better wirings is decided by the entry that was edited. Exits with 1 where a shipped drafter is doubted,
or below 90 % of hits. A family takes about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import hardware, keep, warn_if_busy
from harness import load_drafter, load_target
from harness.comparison.diagnosis.folders import answered
from harness.comparison.diagnosis.forcing import Answered
from harness.comparison.diagnosis.measure import Diagnosis, accepted, diagnose
from harness.config import asset
from harness.target.target import Target

FOLDERS = {"dense": "", "e2b": "e2b/"}
K = {"mtp": 4, "dflash": 15}
GOAL = 0.9
Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong reading: the entry that decides it, and the config.json that makes it."""

    name: str
    key: str
    edit: Callable[[Config], Config]


def changed(**entries: Any) -> Callable[[Config], Config]:
    """Other top-level entries."""
    return lambda raw: {**raw, **entries}


def in_dflash_config(raw: Config, **entries: Any) -> Config:
    return {**raw, "dflash_config": {**raw["dflash_config"], **entries}}


def moved_taps(step: int) -> Callable[[Config], Config]:
    def edit(raw: Config) -> Config:
        taps = [tap + step for tap in raw["dflash_config"]["target_layer_ids"]]
        return in_dflash_config(raw, target_layer_ids=taps)

    return edit


def windowed(window: int) -> Callable[[Config], Config]:
    """A window on every layer, whose slots go on seeing each other."""

    def edit(raw: Config) -> Config:
        kinds = ["sliding_attention"] * raw["num_hidden_layers"]
        return {
            **raw, "layer_types": kinds, "use_sliding_window": True, "sliding_window": window, "is_causal": False,
        }  # fmt: skip

    return edit


def as_speculators(tap_step: int, **entries: Any) -> Callable[[Config], Config]:
    """The layout of speculators, whose layer ids count the embedding; a step of 0 forgets that."""

    def edit(raw: Config) -> Config:
        own = ("architectures", "block_size", "dflash_config", "final_logit_softcapping", "num_target_layers")
        layers = {key: value for key, value in raw.items() if key not in own}
        return {
            "architectures": ["DFlashSpeculator"],
            "speculators_model_type": "dflash",
            "block_size": raw["block_size"],
            "draft_vocab_size": raw["vocab_size"],
            "mask_token_id": raw["dflash_config"]["mask_token_id"],
            "aux_hidden_state_layer_ids": [tap + tap_step for tap in raw["dflash_config"]["target_layer_ids"]],
            "speculators_config": {"algorithm": "dflash", "proposal_methods": [{"speculative_tokens": K["dflash"]}]},
            "transformer_layer_config": layers,
            **entries,
        }

    return edit


def rope(kind: str, entry: str, value: float) -> Callable[[Config], Config]:
    def edit(raw: Config) -> Config:
        changed_raw = copy.deepcopy(raw)
        changed_raw["text_config"]["rope_parameters"][kind][entry] = value
        return changed_raw

    return edit


ROPE = "text_config.rope_parameters"
CASES: dict[str, tuple[Case, ...]] = {
    "dflash": (
        Case("taps one layer later", "dflash_config.target_layer_ids", moved_taps(1)),
        Case("taps one layer earlier", "dflash_config.target_layer_ids", moved_taps(-1)),
        Case("embedding scaled", "dflash_config.input_embedding_scale",
             lambda raw: in_dflash_config(raw, input_embedding_scale=raw["hidden_size"] ** 0.5)),
        Case("block causal", "is_causal", changed(is_causal=True)),
        Case("rope base 1e4", "rope_theta", changed(rope_theta=10_000.0)),
        Case("window of 16", "layer_types, sliding_window", windowed(16)),
        Case("speculators, ids without the embedding", "aux_hidden_state_layer_ids", as_speculators(0)),
        Case("speculators, drafts from the anchor", "sample_from_anchor", as_speculators(1, sample_from_anchor=True)),
    ),
    "mtp": (
        Case("rope base 1e4 on full layers", f"{ROPE}.full_attention.rope_theta",
             rope("full_attention", "rope_theta", 10_000.0)),
        Case("rope base 1e6 on sliding layers", f"{ROPE}.sliding_attention.rope_theta",
             rope("sliding_attention", "rope_theta", 1_000_000.0)),
        Case("whole heads turned on full layers", f"{ROPE}.full_attention.partial_rotary_factor",
             rope("full_attention", "partial_rotary_factor", 1.0)),
    ),
}  # fmt: skip


def planted(source: Path, folder: Path, case: Case) -> str:
    """A copy of a drafter's folder with the config of `case`; weights are linked."""
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file.resolve())
        elif file.name != "config.json":
            shutil.copy(file, folder / file.name)
    raw = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(case.edit(raw)), encoding="utf-8")
    return str(folder)


def look(target: Target, kind: str, path: str, answers: list[Answered], anchors: int) -> Diagnosis:
    drafter = load_drafter(kind, path, target=target)
    k = min(K[kind], drafter.max_draft_tokens or K[kind])
    return diagnose(target, drafter, answers, k, name=kind, anchors=anchors)


def row_of(family: str, kind: str, case: Case | None, found: Diagnosis, seconds: float) -> Config:
    """One line of the table. A shipped drafter is a hit where nothing is better."""
    best = found.better[0] if found.better else None
    hit = best is None if case is None else best is not None and best.wiring.key == case.key
    return {
        "family": family, "drafter": kind, "case": "as shipped" if case is None else case.name,
        "key": "" if case is None else case.key, "accepted": accepted(found.sampled).value, "hit": hit,
        "found": None if best is None else best.wiring.name, "found_key": None if best is None else best.wiring.key,
        "found_accepted": None if best is None else accepted(best.anchors).value,
        "better": [one.wiring.name for one in found.better], "seconds": seconds,
        "wirings": {one.wiring.name: [one.gain.value, one.gain.low, one.gain.high] for one in found.others},
    }  # fmt: skip


def rows(family: str, options: argparse.Namespace, folder: Path) -> Iterator[Config]:
    source = FOLDERS[family]
    target = load_target(asset(source + "target"), execution="eager")
    answers = answered(target, asset(source + "target"), options.prompts, options.tokens)
    for kind, cases in CASES.items():
        if options.drafter not in (kind, "both"):
            continue
        shipped = Path(asset(source + kind))
        for case in (None, *cases):
            path = str(shipped) if case is None else planted(shipped, folder / family / kind / case.name, case)
            started = time.perf_counter()
            found = look(target, kind, path, answers, options.anchors)
            yield row_of(family, kind, case, found, round(time.perf_counter() - started, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="both", choices=(*FOLDERS, "both"))
    parser.add_argument("--drafter", default="both", choices=(*K, "both"))
    parser.add_argument("--prompts", type=int, default=84)
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, at most")
    parser.add_argument("--anchors", type=int, default=2000)
    options = parser.parse_args()
    warn_if_busy()
    before, table = hardware(), list[Config]()
    with tempfile.TemporaryDirectory() as folder:
        for family in FOLDERS if options.family == "both" else [options.family]:
            for row in rows(family, options, Path(folder)):
                table.append(row)
                word = "hit " if row["hit"] else "MISS"
                print(
                    f"{word} {row['family']:6}{row['drafter']:7}{row['case']:40} accepts {row['accepted']:.2f}, "
                    f"found: {row['found'] or 'nothing better'} ({row['found_key'] or 'no key'})", flush=True,
                )  # fmt: skip
    shipped = [row for row in table if not row["key"]]
    cases = [row for row in table if row["key"]]
    share = sum(row["hit"] for row in cases) / len(cases)
    print(f"{sum(row['hit'] for row in shipped)} of {len(shipped)} shipped drafters read as they are best, "
          f"{share:.0%} of {len(cases)} planted cases found")  # fmt: skip
    result = {"goal": GOAL, "share": share, "prompts": options.prompts, "anchors": options.anchors, "rows": table}
    what = options.family if options.drafter == "both" else f"{options.family}-{options.drafter}"
    keep("diagnose", result, before, what)
    return 0 if share >= GOAL and all(row["hit"] for row in shipped) else 1


if __name__ == "__main__":
    sys.exit(main())
