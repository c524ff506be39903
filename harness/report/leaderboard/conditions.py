"""Conditions that two runs must share for a fair comparison, read from their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.manifest_words import at, decoding, machine, short, target_name
from harness.report.names import number, percent

UNKNOWN = "unknown"
SHOWN_RUNS = 4
PACE_DIFFERENCE = 0.1  # runs on one machine differ by less unless something else ran beside one of them
VERSIONS = ("drafthouse", "torch", "transformers", "cuda", "vllm")

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One property of a run. If it `splits`, runs that differ in it are never ranked together."""

    name: str
    of: Callable[[Manifest], Any]
    splits: bool = True
    words: Callable[[Manifest], Any] | None = None  # if a reader knows the value by another name

    def value(self, manifest: Manifest) -> str:
        """The value to compare."""
        return _known(self.of(manifest))

    def said(self, manifest: Manifest) -> str:
        """The value to show."""
        return _known((self.words or self.of)(manifest))


@dataclass(frozen=True, slots=True)
class Difference:
    """A condition in which runs differ: each value with the labels of its runs."""

    condition: Condition
    values: tuple[tuple[str, list[str]], ...]

    def __str__(self) -> str:
        parts = [f"{value} ({_some(runs)})" for value, runs in self.values]
        return f"different {self.condition.name}: {'; '.join(parts)}"


def _known(value: Any) -> str:
    return UNKNOWN if value in (None, "") else str(value)


def target_words(manifest: Manifest) -> str:
    """The target's name with the hash of its weights."""
    return _known(f"{target_name(manifest)} {short(at(manifest, 'models', 'target', 'weights_hash'))}".strip())


def hardware_words(manifest: Manifest) -> str:
    """Processor or GPU."""
    return _known(machine(manifest))


def date_of(manifest: Manifest) -> str:
    """The day the run began."""
    return _known(str(manifest.get("created") or "")[:10])


def _target(manifest: Manifest) -> Any:
    """The weights' hash, for those who compare; a run of an earlier version has a path at most."""
    return short(at(manifest, "models", "target", "weights_hash")) or target_name(manifest) or None


def _prompts(manifest: Manifest) -> Any:
    dataset, count = at(manifest, "prompts", "dataset"), at(manifest, "prompts", "count")
    return f"{count} prompts of {dataset}" if dataset and count else None


def _template(manifest: Manifest) -> Any:
    return target_name(manifest) and f"that of {target_name(manifest)}"


def _versions(manifest: Manifest) -> Any:
    versions = at(manifest, "versions") or {}
    driver = at(manifest, "hardware", "gpu", "driver_version")
    named = [f"{name} {versions[name]}" for name in VERSIONS if versions.get(name)]
    return ", ".join([*named, *([f"driver {driver}"] if driver else [])])


def _source(manifest: Manifest) -> Any:
    commit = at(manifest, "git", "commit")
    return commit and f"{short(commit)}{' with changes' if at(manifest, 'git', 'dirty') else ''}"


CONDITIONS: tuple[Condition, ...] = (
    Condition("hardware", machine),
    Condition("target", _target, words=target_name),
    Condition("dtype", lambda m: str(at(m, "target", "dtype") or "").removeprefix("torch.")),
    Condition("attention", lambda m: at(m, "target", "attention")),
    Condition("execution", lambda m: at(m, "target", "execution") or at(m, "config", "execution")),
    Condition("prompts", lambda m: short(at(m, "prompts", "rendered_sha256")), words=_prompts),
    Condition("chat template", lambda m: short(at(m, "prompts", "template_sha256")), words=_template),
    Condition("thinking", lambda m: at(m, "prompts", "thinking")),
    Condition("longest answer", lambda m: at(m, "config", "max_new_tokens")),
    Condition("decoding", decoding),
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
            said = [condition.said(manifests[labels[0]]) for labels in alike.values()]
            # One name for two things: the value that differs stands beside it.
            values = [
                text if said.count(text) == 1 else f"{text} {value}" for text, value in zip(said, alike, strict=True)
            ]
            found.append(Difference(condition, tuple(zip(values, alike.values(), strict=True))))
    return found


def pace_difference(paces: Mapping[str, float]) -> str | None:
    """A sentence if the baselines differ in pace, else None. `paces`: tokens per second by the runs' labels."""
    if not paces:
        return None
    slow, fast = min(paces, key=lambda label: paces[label]), max(paces, key=lambda label: paces[label])
    apart = paces[fast] / paces[slow] - 1
    if apart <= PACE_DIFFERENCE:
        return None
    return (
        f"different baseline pace: {number(paces[slow], 1)} tok/s ({slow}) to {number(paces[fast], 1)} tok/s ({fast}), "
        f"{percent(apart, 0)} apart; speedups of different runs are not comparable more closely than that"
    )


def facts(manifests: Sequence[Manifest], datasets: Sequence[str]) -> str:
    """Target, datasets, decoding, dtype, machine and dates of the runs of one group, in one line."""
    dates = sorted({date_of(manifest) for manifest in manifests})
    counts = [str(at(manifest, "prompts", "count")) for manifest in manifests if at(manifest, "prompts", "count")]
    shared = {name: _several(_BY_NAME[name].said(manifest) for manifest in manifests) for name in ("decoding", "dtype")}
    parts = [
        f"target {_several(map(_BY_NAME['target'].said, manifests))}",
        f"dataset {_several(datasets) or UNKNOWN}" + (f", {_several(counts)} prompts" if counts else ""),
        *(f"{name} {value}" for name, value in shared.items()),
        f"machine {_several(map(hardware_words, manifests))}",
        f"date {dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}",
    ]
    return " · ".join(parts)


def _several(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def groups(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """A letter for each run's label; runs that may be ranked together share one."""
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
