"""What two runs must share before their numbers may be held against each other, read from their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"
SHOWN_RUNS = 4
PACE_DIFFERENCE = 0.1  # runs on one machine differ by less unless something else ran beside one of them
VERSIONS = ("drafthouse", "torch", "transformers", "cuda", "vllm")

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that should be alike. Where it `splits`, runs that differ in it are never ranked together."""

    name: str
    of: Callable[[Manifest], Any]
    splits: bool = True
    words: Callable[[Manifest], Any] | None = None  # where `of` is not what a reader knows it by

    def value(self, manifest: Manifest) -> str:
        """What is compared."""
        return _known(self.of(manifest))

    def said(self, manifest: Manifest) -> str:
        """What is shown."""
        return _known((self.words or self.of)(manifest))


@dataclass(frozen=True, slots=True)
class Difference:
    """A condition that differs: each value with the labels of the runs that have it."""

    condition: Condition
    values: tuple[tuple[str, list[str]], ...]

    def __str__(self) -> str:
        parts = [f"{value} ({_some(runs)})" for value, runs in self.values]
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


def _known(value: Any) -> str:
    return UNKNOWN if value in (None, "") else str(value)


def target_words(manifest: Manifest) -> str:
    """The target as the run's configuration names it, with its weights' digest."""
    name = at(manifest, "config", "target", "name")
    digest = _short(at(manifest, "models", "target", "weights_hash"))
    return _known(_target(manifest) if name in (None, "path") else f"{name} {digest}".strip())


def hardware_words(manifest: Manifest) -> str:
    """Processor or GPU."""
    return _known(_hardware(manifest))


def date_of(manifest: Manifest) -> str:
    """The day on which the run began."""
    return _known(str(manifest.get("created") or "")[:10])


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
    Condition("target", _target, words=target_words),
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
_BY_NAME = {condition.name: condition for condition in CONDITIONS}


def differences(manifests: Mapping[str, Manifest]) -> list[Difference]:
    """Every condition in which the runs differ; `manifests` by the runs' labels."""
    found = []
    for condition in CONDITIONS:
        alike: dict[str, list[str]] = {}
        for label, manifest in manifests.items():
            alike.setdefault(condition.value(manifest), []).append(label)
        if len(alike) > 1:
            values = [(condition.said(manifests[labels[0]]), labels) for labels in alike.values()]
            found.append(Difference(condition, tuple(values)))
    return found


def pace_difference(paces: Mapping[str, float]) -> str | None:
    """A sentence where the baselines of runs are not equally fast. `paces`: tokens per second by the runs' labels."""
    if not paces:
        return None
    slow, fast = min(paces, key=lambda label: paces[label]), max(paces, key=lambda label: paces[label])
    apart = paces[fast] / paces[slow] - 1
    if apart <= PACE_DIFFERENCE:
        return None
    return (
        f"different baseline pace: {paces[slow]:.1f} tok/s ({slow}) to {paces[fast]:.1f} tok/s ({fast}), "
        f"{apart:.0%} apart; speedups of different runs are not comparable more closely than that"
    )


def facts(manifests: Sequence[Manifest], datasets: Sequence[str]) -> str:
    """What runs of one group were made with: target, datasets, decoding, dtype, machine and dates, in one line."""
    dates = sorted({date_of(manifest) for manifest in manifests})
    counts = [str(at(manifest, "prompts", "count")) for manifest in manifests if at(manifest, "prompts", "count")]
    shared = {name: _several(_BY_NAME[name].said(manifest) for manifest in manifests) for name in ("decoding", "dtype")}
    parts = [
        f"target {_several(map(target_words, manifests))}",
        f"dataset {_several(datasets) or UNKNOWN}" + (f", {_several(counts)} prompts" if counts else ""),
        *(f"{name} {value}" for name, value in shared.items()),
        f"machine {_several(map(hardware_words, manifests))}",
        f"date {dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}",
    ]
    return " · ".join(parts)


def _several(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


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
