"""Speedup against k, predicted from one run: the measured point marked, the best k ringed, the crossing named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from harness.metrics.curve import Point, best, crossings
from harness.records.files import REDRAFTED
from harness.report.charts.drawing import Chart, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import light
from harness.report.charts.ratios import ratio_axis
from harness.report.names import known, listed, span, times
from harness.report.page.data import RunData, Series, colour_of, marker_of
from harness.vocabulary import ALL

Curves = Mapping[str, Sequence[Point]]
NAME = "k_curve"


def curve_table(run: RunData, curves: Curves) -> pd.DataFrame:
    """The points of every arm as a table, for the CSV beside the chart."""
    lines = [
        (one.arm, one.label, p.category, p.k, p.tokens_per_round, p.speedup, p.low, p.high, p.measured)
        for one in run.drafting
        for p in curves.get(one.arm, ())
    ]
    columns = ["arm", "label", "category", "k", "tokens_per_round", "speedup", "low", "high", "measured"]
    return pd.DataFrame(lines, columns=columns)


def drawable(run: RunData, curves: Curves) -> list[tuple[Series, list[Point]]]:
    """The arms whose curve over all categories has two points or more."""
    found = []
    for one in run.drafting:
        points = [p for p in curves.get(one.arm, ()) if p.category == ALL and p.speedup is not None]
        if len(points) > 1:
            found.append((one, points))
    return found


def curve_chart(run: RunData, curves: Curves) -> Chart | None:
    """One line per arm over all categories, with a band for the interval; None without two points of any arm."""
    arms = drawable(run, curves)
    if not arms:
        return None
    figure, axes = new_figure(3.9)
    marks = []
    for one, points in arms:
        colour, shape = colour_of(one), marker_of(one)
        bounded = [p for p in points if p.low is not None and p.high is not None]
        axes.fill_between([p.k for p in bounded], [p.low or 0 for p in bounded], [p.high or 0 for p in bounded],
                          color=colour, alpha=0.15, linewidth=0)  # fmt: skip
        axes.plot([p.k for p in points], [p.speedup or 1 for p in points], marker=shape, color=colour, markersize=4,
                  markerfacecolor=light("card"), label=legend_text(one.label))  # fmt: skip
        for p in (p for p in points if p.measured):
            axes.plot(p.k, p.speedup or 1, shape, color=colour, markersize=8)
        top = best(points)
        if top is not None:
            axes.plot(
                top.k, top.speedup or 1, "o", markersize=15, markerfacecolor="none", color=colour, markeredgewidth=1.6
            )
        marks += [Mark(axes, p.k, p.speedup or 1, _point_text(one, p, top)) for p in points]
    axes.axhline(1, color=light("muted"), linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("draft tokens per round (k)")
    ratio_axis(axes, "y", "decode speedup")
    axes.legend(loc="best")
    return finish(figure, NAME, "Speedup against k, from this run alone", curve_note(run, arms), marks)


def _point_text(one: Series, p: Point, top: Point | None) -> str:
    inside = f" ({span(p.low, p.high)})" if known(p.low) and known(p.high) else ""
    kind = "measured" if p.measured else "predicted"
    return f"{one.label}, k={p.k}: {times(p.speedup)}{inside}, {kind}" + (", the best k" if p == top else "")


def curve_note(run: RunData, arms: Sequence[tuple[Series, list[Point]]]) -> str:
    """The chart in words: each arm's best k, where the faster arm changes, and what the prediction leaves out."""
    said = ["Large and filled: measured. Ringed: the best k."]
    for one, points in arms:
        top = best(points)
        if top is not None:
            said.append(f"{one.label} is fastest at k={top.k} ({times(top.speedup)}).")
    for place, (one, points) in enumerate(arms):
        for other, theirs in arms[place + 1 :]:
            found = crossings(points, theirs)
            shared = {p.k for p in points} & {p.k for p in theirs}
            if found:
                spots = listed([f"between k={a} and k={b}" for a, b in found])
                said.append(f"At equal k, {one.label} and {other.label} change places {spots}.")
            elif shared:
                ours, others = ({p.k: p.speedup or 0 for p in own}[min(shared)] for own in (points, theirs))
                first, second = (one, other) if ours > others else (other, one)
                said.append(f"At equal k, {first.label} is ahead of {second.label} everywhere.")
    blocks = [one.label for one, _ in arms if _is_block(run, one)]
    if blocks and not (run.run_dir / REDRAFTED).exists():
        said.append(
            f"At a smaller k {listed(blocks)} sees fewer masks and may draft otherwise, which the curve leaves out; "
            "curve.redraft=true drafts those blocks again."
        )
    return " ".join(said)


def _is_block(run: RunData, one: Series) -> bool:
    return any(arm.get("native_block") for arm in run.manifest.get("arms") or [] if arm.get("name") == one.arm)
