"""A run in W&B's terms: its name, its configuration, and the keys that every run and arm share.

Pure functions of a manifest and a summary; nothing here imports wandb.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.metrics.definitions import named
from harness.metrics.summary import overall
from harness.records.paths import without_places
from harness.records.secrets import redact_tree
from harness.report.manifest_words import at
from harness.report.names import known
from harness.vocabulary import BASELINE

#: Keys that are the same for every arm, so that one panel compares them: an arm's row in history, in `tables/arms` and
#: in the summary of a run of one arm. `speedup_decode` against `k`, a line for each `arm`, is one panel.
AXES = ("arm", "k")
SHARED = named(
    *("speedup_decode", "speedup_decode_low", "speedup_decode_high", "speedup_end_to_end"),
    *("acceptance_length", "acceptance_rate", "decode_tok_s", "throughput_tok_s", "draft_ms", "verify_ms"),
)
#: Of an arm's own figures, `<arm>/<figure>`, those that get a panel of their own; the others wait to be asked for.
SHOWN = named("speedup_decode", "acceptance_length", "decode_tok_s")
NAME_LENGTH = 128  # of an artifact
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")

Manifest = Mapping[str, Any]


def drafting_arms(manifest: Manifest) -> dict[str, int]:
    """The arms beside the baseline with their k, in the order of the manifest."""
    arms = manifest.get("arms") or []
    return {str(arm["name"]): int(arm["num_draft_tokens"]) for arm in arms if arm["name"] != BASELINE}


def shared_k(arms: Mapping[str, int]) -> int | None:
    """The k of all arms; None where they differ."""
    return next(iter(arms.values())) if len({*arms.values()}) == 1 else None


def run_name(manifest: Manifest, run_dir: Path) -> str:
    """Arms with their k, then the run's directory."""
    arms = [f"{arm}-k{k}" for arm, k in drafting_arms(manifest).items()]
    return f"{'+'.join(arms) or BASELINE} {run_dir.parent.name}/{run_dir.name}"


def run_config(manifest: Manifest, arms: Mapping[str, int]) -> dict[str, Any]:
    """The settings and the manifest, without credentials and places; `arm` and `k` as resolved, and each arm's own.

    `arm` joins the names of several arms; `k` is left out where theirs differ.
    """
    kinds = {str(arm["name"]): arm.get("kind") for arm in manifest.get("arms") or []}
    k = shared_k(arms)
    found = {
        **(manifest.get("config") or {}),
        "arm": "+".join(arms) or BASELINE,
        **({} if k is None else {"k": k}),
        "arms": {arm: {"k": own, "kind": kinds.get(arm)} for arm, own in arms.items()},
        "target_name": target_of(manifest),
        "dataset_name": dataset_of(manifest),
        "manifest": {key: value for key, value in manifest.items() if key != "config"},
    }
    cleaned: dict[str, Any] = without_places(redact_tree(found))
    return cleaned


def target_of(manifest: Manifest) -> str:
    """The target's short name: its configuration's, or the last part of its path."""
    name = at(manifest, "config", "target", "name")
    if name in (None, "path"):
        name = at(manifest, "models", "target", "path") or at(manifest, "config", "target", "path")
    return str(name or "target").rstrip("/").rpartition("/")[2]


def dataset_of(manifest: Manifest) -> str:
    return str(at(manifest, "prompts", "dataset") or at(manifest, "config", "dataset", "name") or "prompts")


def artifact_name(kind: str, manifests: Sequence[Manifest]) -> str:
    """`results-31b-gsm8k`: runs of one target and dataset are versions of one artifact."""
    parts = [kind]
    for of in (target_of, dataset_of):
        values = list(dict.fromkeys(map(of, manifests)))
        parts.append(values[0] if len(values) == 1 else "several")
    return NOT_IN_NAMES.sub("_", "-".join(parts))[:NAME_LENGTH]


def aliases(manifest: Manifest) -> list[str]:
    """`latest`, the k of the arms (`k4`, or `mtp-k4` and `dflash-k15`), the day, and the commit where it is known."""
    arms = drafting_arms(manifest)
    k = shared_k(arms)
    found = ["latest", *([f"k{k}"] if k is not None else [f"{arm}-k{own}" for arm, own in arms.items()])]
    found += [str(manifest.get("created") or "")[:10], str(at(manifest, "git", "commit") or "")[:10]]
    return [NOT_IN_NAMES.sub("_", alias) for alias in dict.fromkeys(found) if alias]


def arm_rows(summary: Mapping[str, Any], manifest: Manifest) -> list[dict[str, Any]]:
    """One row per drafting arm over all categories: `target`, `dataset`, `batch_size`, AXES and the known SHARED."""
    return [
        {
            "target": target_of(manifest),
            "dataset": row.get("dataset"),
            "batch_size": row.get("batch_size"),
            "arm": row["arm"],
            "k": row.get("num_draft_tokens"),
            **{name: row[name] for name in SHARED if known(row.get(name))},
        }
        for row in overall(summary)
        if row["arm"] != BASELINE
    ]


def fastest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`best/arm`, `best/k` and `best/speedup_decode` of the fastest of `arm_rows`; empty where no speedup is known."""
    timed = [row for row in rows if "speedup_decode" in row]
    if not timed:
        return {}
    top = max(timed, key=lambda row: row["speedup_decode"])
    return {f"best/{name}": top[name] for name in (*AXES, "speedup_decode")}
