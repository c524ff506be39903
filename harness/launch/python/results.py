"""Runs as tables and verdict cards, read from their folders without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from glob import glob, has_magic
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from drafters.errors import InputError
from harness.metrics.summary import overall
from harness.records.files import find_runs
from harness.report.names import arm_name, clean, number, span, times
from harness.report.page.data import RunData, read_run
from harness.report.page.headline import Headline, headline
from harness.vocabulary import BASELINE

if TYPE_CHECKING:
    from harness.report.charts.drawing import Chart

#: Edge of the card by the headline's tone; legible on light and dark pages.
EDGES = {"clear": "#2f855a", "even": "#8a8a8a", "void": "#c53030"}
TITLES = ("arm", "k", "decode speedup", "interval", "acceptance length", "tokens/s", "lossless")


@dataclass(repr=False, eq=False)
class Result:
    """One run, read from `folder`.

    `exit_code` and `error` say how `compare` ended (`harness.vocabulary`); a run that was read back has 0 and None.
    """

    folder: Path
    run: RunData
    exit_code: int = 0
    error: str | None = None

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per dataset, category, arm, k and batch size; the columns of docs/metrics.md."""
        return pd.DataFrame(self.run.summary["rows"])

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per two drafting arms and category: how many times faster `arm` is than `other`."""
        return pd.DataFrame(self.run.summary.get("pairs", []))

    @property
    def generations(self) -> pd.DataFrame:
        """One row per prompt turn, arm and repeat: tokens, text, times, verdict."""
        return self.run.generations

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per round: drafted, accepted and emitted tokens, and the seconds of its parts."""
        return self.run.rounds

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The conditions: config, checkpoints, machine, versions."""
        return self.run.manifest

    @cached_property
    def verdict(self) -> Headline:
        """The report's headline: `title`, `sentences` and `tone`."""
        return headline(self.run)

    def __repr__(self) -> str:
        return "\n".join([self.verdict.title, *self.verdict.sentences, *self._stopped, f"files: {self.folder}"])

    def plot_speedup(self) -> Chart:
        """Each arm's decode speedup over the baseline, with its interval. Raises InputError where no arm has one."""
        from harness.report.charts.forests import speedup_chart

        return self._drawn("speedup", speedup_chart)

    def plot_curve(self) -> Chart:
        """Speedup against k, as this run alone predicts it. Raises InputError for a run without a cost table."""
        from harness.metrics.curve_file import read_curve
        from harness.report.charts.curves import curve_chart

        return self._drawn("curve", lambda run: curve_chart(run, read_curve(run.run_dir)))

    def plot_acceptance(self) -> Chart:
        """Share of rounds that accept at least each draft position. Raises InputError where nothing was drafted."""
        from harness.report.charts.rounds import position_chart
        from harness.report.page.chart_data import positions

        return self._drawn("acceptance", lambda run: position_chart(run, positions(run), "unconditional"))

    def _drawn(self, name: str, draw: Callable[[RunData], Chart | None]) -> Chart:
        from harness.report.charts.drawing import drawing

        with drawing(self.run.synthetic):
            chart = draw(self.run)
        if chart is None:
            raise InputError(f"plot_{name}: {self.folder} has no such figures")
        return chart

    @property
    def _stopped(self) -> list[str]:
        return [f"Ended early or failed: {self.error}"] if self.error else []

    def _repr_html_(self) -> str:
        """The verdict card that a notebook shows."""
        head = "".join(f"<th>{escape(title)}</th>" for title in TITLES)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(row))}</tr>"
            for row in overall(self.run.summary)
        )
        said = "".join(f"<div>{escape(line)}</div>" for line in (*self.verdict.sentences, *self._stopped))
        return (
            f'<div style="border-left:4px solid {EDGES[self.verdict.tone]};padding:.2em 1em">'
            f'<strong style="font-size:1.2em">{escape(self.verdict.title)}</strong>{said}'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<div>files: <code>{escape(str(self.folder))}</code></div></div>"
        )


def _cells(row: Mapping[str, Any]) -> list[str]:
    """One arm's cells under TITLES."""
    drafts = row["arm"] != BASELINE
    return [
        arm_name(clean(row["arm"])),
        str(row.get("num_draft_tokens") or "") if drafts else "",
        times(row.get("speedup_decode")),
        span(row.get("speedup_decode_low"), row.get("speedup_decode_high")),
        number(row.get("acceptance_length")),
        number(row.get("decode_tok_s"), 1),
        str(row.get("verdict") or "") if drafts else "",
    ]


def load_run(folder: str | Path) -> Result:
    """The run in `folder`, finished or not. Raises InputError for a folder without one, and for damaged records."""
    where = Path(folder)
    runs = find_runs(where)
    if runs != [where]:
        listed = ", ".join(str(run) for run in runs[:3])
        raise InputError(f"{where}: holds {len(runs)} runs below it ({listed}...), expected one; load_runs reads all")
    return Result(where, read_run(where))


def load_runs(pattern: str | Path) -> list[Result]:
    """Every run in or below the folders that `pattern` matches: `outputs/2026-*`, or a sweep's folder.

    Each run comes once. Raises InputError where there is none, and for damaged records.
    """
    text = str(pattern)
    folders = [Path(found) for found in sorted(glob(text, recursive=True))] if has_magic(text) else [Path(text)]
    runs = dict.fromkeys(run for folder in folders if folder.is_dir() for run in _runs_below(folder))
    if not runs:
        raise InputError(f"{text}: no run in it or below, expected folders of runs or sweeps")
    return [Result(run, read_run(run)) for run in runs]


def _runs_below(folder: Path) -> list[Path]:
    try:
        return find_runs(folder)
    except InputError:  # a folder beside runs, as `*` matches them
        return []
