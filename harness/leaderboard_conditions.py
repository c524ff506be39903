"""What two runs must share before their numbers may be held against each other, read from their manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"
SHOWN_RUNS = 4
VERSIONS = ("drafthouse", "torch", "transformers", "cuda", "vllm")

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that should be alike. Where it `splits`, runs that differ in it are never ranked together."""

    name: str
    of: Callable[[Manifest], Any]
    splits: bool = True

    def value(self, manifest: Manifest) -> str:
        found = self.of(manifest)
        return UNKNOWN if found in (None, "") else str(found)


@dataclass(frozen=True, slots=True)
class Difference:
    """A condition that differs: each value with the labels of the runs that have it."""

    condition: Condition
    values: dict[str, list[str]]

    def __str__(self) -> str:
        parts = [f"{value} ({_some(runs)})" for value, runs in self.values.items()]
        return f"different {self.condition.name}: {'; '.join(parts)}"


def at(tree: Any, *path: str) -> Any:
    """The value at a path of keys, None where it ends early."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _hardware(manifest: Manifest) -> Any:
    device = str(at(manifest, "hardware", "device") or at(manifest, "target", "device") or "")
    if not device.startswith("cuda"):
        threads = at(manifest, "hardware", "torch_threads")
        processor = at(manifest, "hardware", "cpu")
        return processor and f"{processor}, {threads} thread{'' if threads == 1 else 's'}"
    gpu = at(manifest, "hardware", "gpu") or {}
    limit = gpu.get("power.limit")
    return ", ".join(filter(None, [gpu.get("name"), limit and f"limit {limit}"]))


def _target(manifest: Manifest) -> Any:
    digest = at(manifest, "models", "target", "weights_hash")
    path = at(manifest, "models", "target", "path")
    name = str(path).rstrip("/").rpartition("/")[2] if path else ""
    return f"{name} {_short(digest)}".strip() if name or digest else None


def _decoding(manifest: Manifest) -> Any:
    decoding = at(manifest, "config", "decoding")
    if not isinstance(decoding, Mapping):
        return None
    return ", ".join(
        f"{name} {decoding[name]:g}" if isinstance(decoding[name], int | float) else f"{name} {decoding[name]}"
        for name in ("temperature", "top_k", "top_p", "verification")
        # A rule for sampled drafts says nothing about greedy ones.
        if decoding.get(name) is not None and (name == "temperature" or decoding.get("temperature"))
    )


def _versions(manifest: Manifest) -> Any:
    versions = at(manifest, "versions") or {}
    driver = at(manifest, "hardware", "gpu", "driver_version")
    named = [f"{name} {versions[name]}" for name in VERSIONS if versions.get(name)]
    return ", ".join([*named, *([f"driver {driver}"] if driver else [])])


def _source(manifest: Manifest) -> Any:
    commit = at(manifest, "git", "commit")
    return commit and f"{commit[:12]}{' with changes' if at(manifest, 'git', 'dirty') else ''}"


def _short(digest: Any) -> str:
    return str(digest or "").removeprefix("sha256:")[:8]


CONDITIONS: tuple[Condition, ...] = (
    Condition("hardware", _hardware),
    Condition("target", _target),
    Condition("dtype", lambda m: str(at(m, "target", "dtype") or "").removeprefix("torch.")),
    Condition("attention", lambda m: at(m, "target", "attention")),
    Condition("execution", lambda m: at(m, "target", "execution") or at(m, "config", "execution")),
    Condition("prompts", lambda m: _short(at(m, "prompts", "rendered_sha256"))),
    Condition("chat template", lambda m: _short(at(m, "prompts", "template_sha256"))),
    Condition("thinking", lambda m: at(m, "prompts", "thinking")),
    Condition("longest answer", lambda m: at(m, "config", "max_new_tokens")),
    Condition("decoding", _decoding),
    Condition("synthetic parts", lambda m: at(m, "synthetic") or "nothing"),
    Condition("versions", _versions),
    Condition("source", _source, splits=False),
)


def differences(manifests: Mapping[str, Manifest]) -> list[Difference]:
    """Every condition in which the runs differ; `manifests` by the runs' labels."""
    found = []
    for condition in CONDITIONS:
        values: dict[str, list[str]] = {}
        for label, manifest in manifests.items():
            values.setdefault(condition.value(manifest), []).append(label)
        if len(values) > 1:
            found.append(Difference(condition, values))
    return found


def groups(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """A letter for each run's label; runs that may be ranked together share it."""
    letters: dict[tuple[str, ...], str] = {}
    found = {}
    for label, manifest in manifests.items():
        key = tuple(condition.value(manifest) for condition in CONDITIONS if condition.splits)
        found[label] = letters.setdefault(key, _letter(len(letters)))
    return found


def _letter(place: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    place += 1
    while place:
        place, digit = divmod(place - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def _some(runs: Sequence[str]) -> str:
    more = len(runs) - SHOWN_RUNS
    return ", ".join(runs[:SHOWN_RUNS]) + (f" and {more} more" if more > 0 else "")
