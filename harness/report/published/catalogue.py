"""Figures that others published, beside the run's own: which apply, what ours is, and how they differ.

They live in `conf/figures/`, one YAML per experiment, each figure with its setting and its source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from drafters.errors import InputError
from harness.config import EMBEDDED, RunConfig
from harness.records.files import replace_file
from harness.records.stored import read_object
from harness.report.published.comparison import METRICS
from harness.vocabulary import BASELINE, CONF

FIGURES = CONF / "figures"
PUBLISHED = "published.json"


@dataclass(frozen=True)
class Figure:
    """One published number with its setting, None for what the source leaves open.

    `target` is a name of conf/target or another model's, `arm` a drafter's kind or the baseline, `k` its draft tokens
    per round, `metric` a key of METRICS. Raises InputError for an unknown metric, and a value of 0 or less.
    """

    label: str
    arm: str
    metric: str
    value: float
    source: str
    target: str | None = None
    dataset: str | None = None
    category: str = "all"
    k: int | None = None
    batch_size: int | None = None
    temperature: float | None = None
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(
                f"published figure {self.label}: metric={self.metric}, expected one of {', '.join(METRICS)}"
            )
        if not 0 < self.value < math.inf:
            raise InputError(f"published figure {self.label}: value={self.value}, expected more than 0")


def read_figures(name: str) -> list[Figure]:
    """The figures of `conf/figures/NAME.yaml`. Raises InputError naming the file and the entry."""
    path = FIGURES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FIGURES.glob("*.yaml")))
        raise InputError(f"published={name}: expected one of {known}, or null")
    try:
        entries: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        return [Figure(**{**(entries.get("shared") or {}), **entry}) for entry in entries["figures"]]
    except (OmegaConfBaseException, YAMLError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"published={name}: {path} holds no list of figures ({error})") from error


def applicable(figures: Iterable[Figure], config: RunConfig, k: Mapping[str, int]) -> list[dict[str, Any]]:
    """The figures to show beside this run, as plain values; `differs` names their differing settings.

    `k` holds each arm's draft tokens. A figure for another Gemma 4 target never applies. One for another model, as in
    papers, applies except beside an embedded pair. Of figures that differ in k alone, only the run's k applies.
    """
    ours = {path.stem for path in (CONF / "target").glob("*.yaml")}
    arms = {BASELINE: BASELINE, **{arm.name: arm.kind for arm in config.arms}}
    found = []
    for figure in figures:
        if figure.target != config.target.name and (figure.target in ours or config.target.name in EMBEDDED):
            continue
        same = (
            figure.dataset in (None, config.dataset.label),
            figure.batch_size in (None, config.batch_size),
            figure.temperature in (None, config.decoding.temperature),
            figure.context_tokens in (None, config.dataset.context_tokens),
        )
        if not all(same):
            continue
        other = [] if figure.target == config.target.name else [f"target {figure.target or 'not named'}"]
        for name, kind in arms.items():
            if figure.arm in (name, kind):
                found.append({**asdict(figure), "arm": name, "differs": other})
    return _at_its_k(found, k)


def _at_its_k(found: list[dict[str, Any]], k: Mapping[str, int]) -> list[dict[str, Any]]:
    def apart_from_k(figure: Mapping[str, Any]) -> str:
        return json.dumps({key: value for key, value in figure.items() if key not in ("k", "value")}, sort_keys=True)

    published: dict[str, set[int | None]] = {}
    for figure in found:
        published.setdefault(apart_from_k(figure), set()).add(figure["k"])
    return [
        figure
        for figure in found
        if len(published[apart_from_k(figure)]) == 1 or figure["k"] == k.get(str(figure["arm"]))
    ]


def write_published(run_dir: Path, config: RunConfig, k: Mapping[str, int]) -> list[dict[str, Any]]:
    """Write the applicable figures to `published.json` and return them; write nothing without `published=`.

    `k` as `applicable` takes it.
    """
    if config.published is None:
        return []
    figures = read_figures(config.published)
    found = applicable(figures, config, k)
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    content = {"name": config.published, "metrics": metrics, "figures": found}
    replace_file(run_dir / PUBLISHED, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return found


def read_published(run_dir: Path) -> list[dict[str, Any]]:
    """The published figures kept with a run; empty without a file."""
    return list((_kept(run_dir) or {}).get("figures") or [])


def read_metrics(run_dir: Path) -> list[str]:
    """The metrics of the experiment's published table, with or without an applicable figure."""
    return list((_kept(run_dir) or {}).get("metrics") or [])


def _kept(run_dir: Path) -> dict[str, Any] | None:
    return read_object(Path(run_dir) / PUBLISHED, "no published figures are shown; continuing the run writes it anew")
