"""The run in a few lines, and the banners to read before any figure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from harness.config import EMBEDDED
from harness.report.manifest_words import at, decoding, machine, short, target_name
from harness.report.names import arm_name, bytes_text, clean, number
from harness.report.page.data import RunData
from harness.report.places import short_path, without_places

LATER_SHOWN = 4
NOTHING = ("", "–", "None")


def notices(run: RunData) -> list[tuple[str, str]]:
    """Banners as (title, text): for a synthetic run, and for the embedded models."""
    found = []
    if run.synthetic:
        text = clean(run.synthetic) if isinstance(run.synthetic, str) else "Not measured on any model."
        found.append(("Synthetic", f"{text} Nothing here may be quoted."))
    if at(run.manifest, "config", "target", "name") in EMBEDDED:
        found.append(
            (
                "Embedded models",
                "The small models that ship with the harness show that it works. Their figures are measured, and say "
                "nothing about published Gemma 4 checkpoints.",
            )
        )
    return found


def noise(run: RunData) -> str:
    """The spread of the baseline's pace and the load of the machine; empty for a summary without noise."""
    text = (run.summary.get("noise") or {}).get("text")
    return clean(f"Noise: {text}.") if text else ""


def subtitle(run: RunData) -> list[str]:
    """The line above the headline: target, arms with k, prompts, decoding, lengths, dtype, processor or GPU, date."""
    manifest = run.manifest
    categories = len(run.categories)
    prompts = max((int(row.get("prompts") or 0) for row in run.rows.values()), default=0)
    arms = dict.fromkeys(f"{arm_name(clean(one.arm))} k={one.num_draft_tokens}" for one in run.contenders)
    said = [
        target_name(manifest).rstrip("/").rpartition("/")[2],
        ", ".join(arms),
        f"{number(prompts, 0)} prompts" + (f" in {categories} categories" if categories > 1 else ""),
        decoding(manifest),
        f"up to {at(manifest, 'config', 'max_new_tokens')} tokens" if at(manifest, "config", "max_new_tokens") else "",
        f"batch {at(manifest, 'config', 'batch_size')}" if (at(manifest, "config", "batch_size") or 1) != 1 else "",
        str(at(manifest, "target", "dtype") or "").removeprefix("torch."),
        machine(manifest) or _device(manifest),
        str(manifest.get("created", ""))[:10],
    ]
    return [clean(part) for part in said if part not in NOTHING]


def what_ran(run: RunData) -> list[tuple[str, str]]:
    """The manifest as (name, value) pairs, without unknown ones."""
    manifest = run.manifest
    hardware, versions, git = (manifest.get(name) or {} for name in ("hardware", "versions", "git"))
    prompts = manifest.get("prompts") or {}
    config = manifest.get("config") or {}
    pairs: list[tuple[str, Any]] = [
        ("Folder", run.run_dir.resolve().name),
        ("Target", short_path(str(at(manifest, "models", "target", "path") or ""))),
        ("dtype", at(manifest, "target", "dtype")),
        ("Device", _device(manifest)),
        ("Attention", at(manifest, "target", "attention")),
        ("Decoding", decoding(manifest)),
        ("Prompts", f"{prompts.get('dataset')}, {prompts.get('count')} prompts" if prompts else None),
        ("Rendered prompts", short(prompts.get("rendered_sha256"))),
        ("Chat template", short(prompts.get("template_sha256"))),
        ("Thinking", prompts.get("thinking")),
        ("Longest answer", f"{config['max_new_tokens']} tokens" if config.get("max_new_tokens") else None),
        ("Batch size", config.get("batch_size")),
        ("Repeats", config.get("repeats")),
        ("Execution", at(manifest, "target", "execution") or config.get("execution")),
        ("Seed", config.get("seed")),
        ("Processor", hardware.get("cpu")),
        ("Threads", _threads(manifest)),
        ("Platform", hardware.get("platform")),
        ("Versions", ", ".join(f"{name} {value}" for name, value in versions.items() if value)),
        (
            "Source",
            f"{short(git.get('commit'))}{', changed' if git.get('dirty') else ''}" if git.get("commit") else None,
        ),
        ("Run key", run.summary.get("run_key")),
        ("Started", manifest.get("created")),
        ("Attempts", len(manifest.get("attempts") or []) or None),
    ]
    known = [(name, str(value)) for name, value in pairs if value is not None and str(value) not in NOTHING]
    return [(name, clean(without_places(value))) for name, value in known]


def drafters(run: RunData) -> list[tuple[str, str]]:
    """Each arm's checkpoint in one line."""
    found = []
    for arm in run.manifest.get("arms") or []:
        model = at(run.manifest, "models", str(arm["name"])) or {}
        parts = [
            short_path(str(model["path"])) if model.get("path") else str(arm.get("kind")),
            f"{number(model['parameters'], 0)} parameters" if model.get("parameters") else "",
            bytes_text(model.get("bytes")) if model.get("bytes") else "",
            f"k = {arm['num_draft_tokens']}" if arm.get("num_draft_tokens") else "",
            f"native block {arm['native_block']}" if arm.get("native_block") else "",
            short(model.get("weights_hash")),
        ]
        found.append((arm_name(clean(arm["name"])), clean(", ".join(filter(None, parts)))))
    return found


def rates(run: RunData) -> str:
    """The rates behind the floors, or why there are none; empty for a run of an earlier version."""
    floor = run.manifest.get("floor") or {}
    if at(floor, "unknown"):
        return clean(f"No floor is known: {floor['unknown']}.")
    found = at(floor, "rates")
    if not isinstance(found, Mapping):
        return ""
    points = [point for point in found.get("bandwidths") or [] if len(point) == 2]
    bandwidths = ", ".join(f"{number(rate / 1e9, 1)} GB/s over {bytes_text(size)}" for size, rate in points)
    threads = f", {count} thread{'s' * (count != 1)}" if (count := found.get("threads")) else ""
    products = found.get("operations_per_s")
    said = f"{found.get('device')}{threads}, {found.get('dtype')}: {bandwidths}"
    return clean(f"{said}; products at {number(products / 1e9, 0)} billion operations a second." if products else said)


def _device(manifest: Mapping[str, Any]) -> str:
    gpu = at(manifest, "hardware", "gpu", "name")
    return str(gpu or at(manifest, "target", "device") or at(manifest, "hardware", "device") or "")


def _threads(manifest: Mapping[str, Any]) -> str:
    """The thread count with the reason for it, and later ones; older manifests hold the count alone."""
    count, why = at(manifest, "hardware", "torch_threads"), at(manifest, "threads", "why")
    attempts = [one for one in manifest.get("attempts") or [] if isinstance(one, Mapping)]
    counts = [count, *(each.get("count") for one in attempts for each in one.get("threads_changed") or [])]
    later = [str(after) for before, after in pairwise(counts) if after != before]
    changed = f"; later {', '.join(later[:LATER_SHOWN])}{', ...' if len(later) > LATER_SHOWN else ''}" if later else ""
    return "" if count is None else f"{count}{f' ({why})' if why else ''}{changed}"
