"""One run directory as the report reads it: once, with everything its tables and charts need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from drafters.errors import InputError
from harness.metrics.summary import SummaryRow, read_summary
from harness.records.files import NOTHING_YET, PROMPTS
from harness.records.frames import read_generations, read_rounds
from harness.records.prompts import KeptPrompt, read_prompts
from harness.records.stored import read_manifest, warn_once
from harness.report.charts.palette import arm_colour, light, marker
from harness.report.names import arm_name, clean, is_control
from harness.vocabulary import ALL, BASELINE, HARNESS

#: Identity of a series: dataset, batch size, arm, draft tokens per round.
Key = tuple[str, int, str, int]


@dataclass(frozen=True, slots=True)
class Series:
    """One arm with one k, dataset and batch size: a row of every table, a line of every chart."""

    dataset: str
    batch_size: int
    arm: str
    num_draft_tokens: int
    label: str
    kind: str
    engine: str
    place: int  # index among all series; picks a colour for unknown arms

    @property
    def key(self) -> Key:
        return self.dataset, self.batch_size, self.arm, self.num_draft_tokens

    @property
    def colour(self) -> str:
        """Its colour's name in the palette."""
        return arm_colour(self.arm, self.place)

    @property
    def is_control(self) -> bool:
        return is_control(self.kind)


@dataclass(frozen=True, slots=True)
class RunData:
    """One run. `series` has the baseline first, then the arms as they were configured."""

    run_dir: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    generations: pd.DataFrame
    rounds: pd.DataFrame
    prompts: dict[str, KeptPrompt]
    series: tuple[Series, ...]
    rows: dict[tuple[Key, str], SummaryRow] = field(repr=False)  # by series and category

    @property
    def synthetic(self) -> Any:
        """A sentence (or True) about the synthetic parts of the run; None for a measured run."""
        return self.manifest.get("synthetic") or self.summary.get("synthetic")

    @property
    def drafting(self) -> tuple[Series, ...]:
        return tuple(one for one in self.series if one.arm != BASELINE)

    @property
    def contenders(self) -> tuple[Series, ...]:
        """The arms of the headline: trained drafters, or all drafting arms if none is trained.

        All belong to one engine, the first with any: across engines more than the drafter differs.
        """
        found = tuple(one for one in self.drafting if not one.is_control) or self.drafting
        return tuple(one for one in found if one.engine == found[0].engine)

    @property
    def categories(self) -> list[str]:
        """Categories in the order of the summary, without `all`."""
        return list(dict.fromkeys(category for _, category in self.rows if category != ALL))

    def row(self, series: Series, category: str = ALL) -> SummaryRow:
        """A series' figures; empty if the summary has none."""
        return self.rows.get((series.key, category), {})


def read_run(run_dir: str | Path) -> RunData:
    """Read a run directory. Missing or damaged files beside sound journals are rebuilt in memory.

    Raises InputError for damaged journals, and for a run without a finished generation.
    """
    folder = Path(run_dir)
    generations, prompts = read_generations(folder), read_prompts(folder)
    if generations.empty:
        raise InputError(f"{folder}: {NOTHING_YET}")
    summary, manifest = read_summary(folder), read_manifest(folder)
    rows = {(_key(row), str(row["category"])): row for row in summary["rows"]}
    lacking = {*generations["prompt_id"]} - {*prompts}
    if prompts and lacking:  # earlier versions kept none
        warn_once(f"{folder / PROMPTS} lacks {len(lacking)} of the run's prompts: the report cannot show them")
    return RunData(
        folder,
        summary,
        manifest,
        generations,
        read_rounds(folder),
        prompts,
        series_of(summary, manifest),
        rows,
    )


def first_rounds(rounds: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[str, int, str], list[list[Any]]]:
    """The rounds of the first repeat in order, as lists of `columns`, by prompt, turn and arm."""
    ordered = rounds[rounds["repeat"] == 0].sort_values("round", kind="stable")
    lists = (ordered[name].tolist() for name in ("prompt_id", "turn", "arm", *columns))
    found: dict[tuple[str, int, str], list[list[Any]]] = {}
    for prompt, turn, arm, *values in zip(*lists, strict=True):
        found.setdefault((str(prompt), int(turn), str(arm)), []).append(values)
    return found


def series_of(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[Series, ...]:
    """Every arm of the summary, in the manifest's order; labels name k, dataset and batch size where they vary."""
    arms = {str(arm["name"]): arm for arm in manifest.get("arms", [])}
    keys = list(dict.fromkeys(_key(row) for row in summary["rows"]))
    order = {arm: place for place, arm in enumerate([BASELINE, *arms])}
    keys.sort(key=lambda key: (key[0], key[1], order.get(key[2], len(order)), key[3]))
    several_k = {arm for arm in {key[2] for key in keys} if len({key[3] for key in keys if key[2] == arm}) > 1}
    several_datasets = len({key[0] for key in keys}) > 1
    several_batches = len({key[1] for key in keys}) > 1
    found = []
    for place, (dataset, batch_size, arm, k) in enumerate(keys):
        parts = [arm_name(clean(arm))]
        parts += [f"k={k}"] if arm in several_k else []
        parts += [clean(dataset)] if several_datasets else []
        parts += [f"batch {batch_size}"] if several_batches else []
        about = arms.get(arm, {})
        kind, engine = str(about.get("kind") or arm), str(about.get("engine") or HARNESS)
        found.append(Series(dataset, batch_size, arm, k, ", ".join(parts), kind, engine, place))
    return tuple(found)


def _key(row: SummaryRow) -> Key:
    return str(row["dataset"]), int(row["batch_size"]), str(row["arm"]), int(row["num_draft_tokens"])


def colour_of(one: Series) -> str:
    """A series' colour in charts, as hex."""
    return light(one.colour)


def marker_of(one: Series) -> str:
    """The shape of a series' points in charts, as matplotlib names it."""
    return marker(one.colour)
