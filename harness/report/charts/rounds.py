"""Charts of rounds: acceptance at each draft position, and time by part. None without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from harness.report.charts.drawing import Chart, Legend, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import light
from harness.report.names import known, number, percent
from harness.report.page.chart_data import PARTS
from harness.report.page.data import RunData, colour_of, marker_of
from harness.vocabulary import ALL


def position_chart(run: RunData, table: pd.DataFrame, kind: str) -> Chart | None:
    """Acceptance at each draft position, from `chart_data.positions`; `kind` is `conditional` or `unconditional`."""
    table = table[table["category"] == ALL]
    if table.empty:
        return None
    figure, axes = new_figure()
    marks: list[Mark] = []
    for one in run.drafting:
        own = table[table["label"] == one.label]
        style: dict[str, Any] = {"linestyle": "--", "linewidth": 1.6} if one.is_control else {}
        style |= {"color": colour_of(one), "label": legend_text(one.label)}
        axes.plot(own["position"], own[kind], marker=marker_of(one), markersize=6, **style)
        marks += [
            Mark(axes, place, share, f"{one.label}, position {place}: {percent(share)} of {number(count, 0)} rounds")
            for place, share, count in zip(own["position"], own[kind], own["rounds"], strict=True)
            if known(share)
        ]
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.7, float(table["position"].max()) + 0.3)
    axes.set_xlabel("draft position")
    axes.legend(loc="best")
    title = {
        "unconditional": "Rounds that accept at least this position",
        "conditional": "Acceptance once all earlier positions were accepted",
    }[kind]
    return finish(figure, f"acceptance_{kind}", title, marks=marks)


def time_chart(run: RunData, table: pd.DataFrame, per: str) -> Chart | None:
    """Stacked milliseconds by part, from `chart_data.round_times`; `per` is `round` or `token`."""
    suffix = "_ms" if per == "round" else "_ms_per_token"
    table = table[table[f"verify{suffix}"].notna()]
    if table.empty:
        return None
    figure, axes = new_figure(1.35 + 0.45 * len(table))
    left = np.zeros(len(table))
    place = np.arange(len(table))
    marks: list[Mark] = []
    for part in PARTS:
        width = table[f"{part}{suffix}"].to_numpy(dtype=float)
        axes.barh(place, width, left=left, height=0.62, color=light(f"part-{part}"), label=part, linewidth=0)
        marks += [
            Mark(axes, start + one / 2, float(y), f"{label}: {part} {number(one, 3)} ms per {per}")
            for start, one, y, label in zip(left, width, place, table["label"], strict=True)
            if one > 0
        ]
        left = left + width
    for y, total in zip(place, left, strict=True):
        axes.annotate(
            number(total, 2 if total < 10 else 1), (total, y), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(place, list(table["label"]))
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, float(left.max()) * 1.16)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"milliseconds per {per}")
    title = "Time of one round" if per == "round" else "Time per token"
    return finish(figure, f"time_per_{per}", title, marks=marks, legend=Legend("upper left", 3))
