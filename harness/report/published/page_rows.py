"""The page's rows of published figures beside this run's, and their CSV."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.records.csv_text import csv_text
from harness.report.names import arm_name, clean, known, listed, number, percent
from harness.report.page.data import RunData
from harness.report.published.catalogue import read_published
from harness.report.published.comparison import METRICS, beside
from harness.vocabulary import ALL

COLUMNS = ("label", "arm", "category", "metric", "ours", "theirs", "difference", "ratio", "differs", "source")


@dataclass(frozen=True, slots=True)
class Published:
    """One published figure; `ours`, `difference` and `ratio` are None if this run has no such figure."""

    label: str
    arm: str
    category: str
    metric: str
    theirs: float
    ours: float | None
    difference: float | None
    ratio: float | None
    differs: str
    source: str

    def text(self, value: float | None, sign: bool = False) -> str:
        """A value of this figure's metric with its unit."""
        digits = 0 if value is not None and abs(value) >= 100 else 2
        return number(value, digits, METRICS[self.metric].unit, signed=sign)

    @property
    def figure(self) -> str:
        """The metric in words, with the category unless the figure covers all."""
        words = METRICS[self.metric].words
        return words if self.category == ALL else f"{words}, {self.category}"

    @property
    def relative(self) -> str:
        """The difference as a share of theirs."""
        return percent(self.ratio - 1, 0, signed=True) if known(self.ratio) else ""


def published(run: RunData) -> list[Published]:
    """The figures of the run's `published.json`, each beside ours."""
    return [
        Published(
            label=clean(row["label"]),
            arm=arm_name(clean(row["arm"])),
            category=clean(row["category"]),
            metric=row["metric"],
            theirs=float(row["value"]),
            ours=row["ours"] if known(row["ours"]) else None,
            difference=row["difference"],
            ratio=row["ratio"],
            differs=listed([clean(what) for what in row["differs"]]),
            source=clean(row["source"]),
        )
        for row in beside(run.summary, read_published(run.run_dir))
    ]


def published_csv(rows: list[Published]) -> str:
    """The comparison as CSV."""
    lines = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    return csv_text(pd.DataFrame(lines, columns=list(COLUMNS)))
