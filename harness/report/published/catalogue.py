"""Figures that others published, beside the run's own: which apply, what ours is, and how they differ.

They live in `conf/experiment/published/`, one YAML per experiment, each figure with its setting and its source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from harness.config import EMBEDDED, RunConfig
from harness.errors import InputError
from harness.records.files import replace_file
from harness.records.stored import read_object
from harness.vocabulary import BASELINE, CONF

FIGURES = CONF / "experiment" / "published"
PUBLISHED = "published.json"
LONG_ANSWER = 2048  # tokens that `seconds_for_2048` is about

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One published number. `target` is a name of conf/target, or another model's; what is None was left open.

    `arm` is a drafter's kind or the baseline, `k` its draft tokens per round, `metric` a key of METRICS.
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


def _ratio(numerator: float | None, denominator: float) -> float | None:
    return None if numerator is None else numerator / denominator


def _total_tok_s(row: Row) -> float | None:
    rate = row.get("decode_tok_s")
    return None if rate is None else rate * row["batch_size"]


def _seconds(row: Row) -> float | None:
    rate, first = row.get("decode_tok_s"), row.get("ttft_ms")
    return None if not rate or first is None else first / 1e3 + (LONG_ANSWER - 1) / rate


#: What may be published: its words, its unit, and our figure from a row of the summary.
METRICS: dict[str, tuple[str, str, Any]] = {
    "decode_tok_s": ("tok/s of one stream", "", lambda row: row.get("decode_tok_s")),
    "total_tok_s": ("tok/s of all streams", "", _total_tok_s),
    "speedup": ("speedup", "x", lambda row: row.get("speedup_decode")),
    "acceptance_length": ("acceptance length", "", lambda row: row.get("acceptance_length")),
    "acceptance_rate": ("acceptance rate", "", lambda row: row.get("acceptance_rate")),
    "seconds_for_2048": ("time for 2048 tokens", " s", _seconds),
    "extra_memory_gb": (
        "memory over baseline",
        " GB",
        lambda row: _ratio(row.get("peak_memory_over_baseline_bytes"), 1e9),
    ),
}


def read_figures(name: str) -> list[Figure]:
    """The figures of `conf/experiment/published/NAME.yaml`. Raises InputError naming the file and the entry."""
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
    """Those that can stand beside this run, as plain values; `differs` says in words where their setting is another.

    `k` holds each arm's draft tokens. A figure for another Gemma 4 target never applies; one for another model does, as
    the papers' do, but not beside an embedded pair. Of figures that differ in k alone, only the run's k applies.
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
    def apart_from_k(figure: Row) -> str:
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
    """Write the applicable figures to `published.json`; nothing for a run that names none. `k` as `applicable`."""
    if config.published is None:
        return []
    figures = read_figures(config.published)
    found = applicable(figures, config, k)
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    content = {"name": config.published, "metrics": metrics, "figures": found}
    replace_file(run_dir / PUBLISHED, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return found


def read_published(run_dir: Path) -> list[dict[str, Any]]:
    """The figures in a run directory; none where there is no file."""
    return list((_kept(run_dir) or {}).get("figures") or [])


def read_metrics(run_dir: Path) -> list[str]:
    """The metrics that the experiment's published table has, whether a figure applies or not."""
    return list((_kept(run_dir) or {}).get("metrics") or [])


def _kept(run_dir: Path) -> dict[str, Any] | None:
    return read_object(Path(run_dir) / PUBLISHED, "no published figures are shown; continuing the run writes it anew")


def beside(summary: Mapping[str, Any], figures: Sequence[Row]) -> list[dict[str, Any]]:
    """Each figure with `ours` from the summary, `ratio` = ours / theirs and `difference` = ours - theirs, or None.

    Another k than the published one is added to `differs`, and that theirs is not synthetic where ours is.
    """
    rows = {(row["arm"], row["category"]): row for row in summary["rows"]}
    compared = []
    for figure in figures:
        row = rows.get((figure["arm"], figure["category"]), {})
        ours = METRICS[figure["metric"]][2](row)
        differs = list(figure["differs"])
        k = row.get("num_draft_tokens")
        if row.get("synthetic"):
            differs.append("not synthetic")
        if figure["k"] is not None and k is not None and k != figure["k"]:
            differs.append(f"k {figure['k']}")
        theirs = figure["value"]
        compared.append(
            {
                **figure,
                "differs": differs,
                "ours": ours,
                "ratio": _ratio(ours, theirs),
                "difference": None if ours is None else ours - theirs,
            }
        )
    return compared
