"""Published figures beside ours: what others report for the same arms, and how far this run lies from it.

Rows come from `published.json` in the run directory, or from `published` in the manifest or its configuration: a list
of objects with `label`, `arm`, `metric`, `value`, `source`, and optionally `category` and `num_draft_tokens`. `metric`
is a name of harness/definitions.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.definitions import BY_NAME
from harness.metrics import ALL
from harness.report.data import RunData
from harness.report.names import arm_name, clean, known

PUBLISHED = "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """One figure that others report; `ours` is None where this run has nothing to set beside it."""

    label: str
    arm: str
    metric: str
    category: str
    theirs: float
    ours: float | None
    source: str

    @property
    def difference(self) -> float | None:
        """Ours less theirs."""
        return None if self.ours is None else self.ours - self.theirs

    @property
    def relative(self) -> float | None:
        """The difference as a share of theirs."""
        return None if self.ours is None or not self.theirs else self.ours / self.theirs - 1

    @property
    def meaning(self) -> str:
        """The definition behind our figure."""
        return BY_NAME[self.metric].text if self.metric in BY_NAME else "unknown metric"


def published(run: RunData) -> list[Published]:
    """Every published row that names a number. Rows without a numeric value are passed over."""
    found = []
    for row in _rows(run):
        if not isinstance(row, Mapping) or not known(row.get("value")):
            continue
        metric, category = str(row.get("metric", "")), str(row.get("category") or ALL)
        found.append(
            Published(
                clean(row.get("label") or ""),
                arm_name(clean(row.get("arm") or "")),
                metric,
                clean(category),
                float(row["value"]),
                _ours(run, row, metric, category),
                clean(row.get("source") or ""),
            )
        )
    return found


def _rows(run: RunData) -> list[Any]:
    path = run.run_dir / PUBLISHED
    if path.exists():
        read = json.loads(path.read_text(encoding="utf-8"))
        return read if isinstance(read, list) else list(read.get("published", []))
    rows = run.manifest.get("published") or run.manifest.get("config", {}).get("published") or []
    return list(rows)


def _ours(run: RunData, row: Mapping[str, Any], metric: str, category: str) -> float | None:
    k = row.get("num_draft_tokens")
    for one in run.series:
        if one.arm == row.get("arm") and k in (None, one.num_draft_tokens):
            value = run.row(one, category).get(metric)
            if known(value):
                return float(value)
    return None
