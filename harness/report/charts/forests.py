"""Forest plots of speedups with intervals: each arm over the baseline, and two drafters head to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.report.charts.drawing import Chart, Mark, finish, new_figure
from harness.report.charts.palette import light
from harness.report.charts.ratios import ratio_axis
from harness.report.names import clean, known, span, times
from harness.report.page.data import RunData, colour_of, marker_of
from harness.report.page.headline import pair_ratio
from harness.vocabulary import ALL


def speedup_chart(run: RunData) -> Chart | None:
    """Each arm's speedup and its interval, on one scale."""
    drawn = [one for one in run.drafting if known(run.row(one).get("speedup_decode"))]
    if not drawn:
        return None
    lines = []
    for one in drawn:
        row = run.row(one)
        low, high = row.get("speedup_decode_low"), row.get("speedup_decode_high")
        lines.append(ForestLine(one.label, row["speedup_decode"], low, high, colour_of(one), marker_of(one)))
    figure, marks = forest(lines, "decode speedup over the baseline")
    return finish(figure, "speedup", "Speedup over plain decoding, with its interval", marks=marks)


def duel_chart(run: RunData) -> Chart | None:
    """The first two contenders directly against each other, by category and over all."""
    if len(run.contenders) < 2:
        return None
    first, second = run.contenders[:2]
    lines = []
    for category in [*run.categories, ALL]:
        ratio = pair_ratio(run, second, first, category)
        if ratio is None:
            continue
        ahead = {"faster": second, "slower": first}.get(ratio.words)
        look = (colour_of(ahead), marker_of(ahead)) if ahead else (light("muted"), "|")
        name = "all categories" if category == ALL else clean(category)
        lines.append(ForestLine(name, ratio.value, ratio.low, ratio.high, *look))
    if not lines:
        return None
    figure, marks = forest(lines, f"speed of {second.label} over {first.label}’s")
    note = f"Right of the line {second.label} is faster, left of it {first.label}. Grey strokes: not distinguishable."
    return finish(figure, "duel", f"{second.label} against {first.label}, on the same prompts", note, marks)


@dataclass(frozen=True, slots=True)
class ForestLine:
    """One line of a forest plot: a ratio, its interval if there is one, `colour` as hex, matplotlib's `marker`."""

    label: str
    value: float
    low: float | None
    high: float | None
    colour: str
    marker: str


def forest(lines: Sequence[ForestLine], label: str) -> tuple[Figure, list[Mark]]:
    """Ratios with their intervals, one below the other, around a line at 1; and what they say."""
    figure, axes = new_figure(1.05 + max(0.38, 0.55 - 0.03 * len(lines)) * len(lines))
    for place, one in enumerate(lines):
        if known(one.low) and known(one.high):
            axes.plot([one.low, one.high], [place, place], color=one.colour, linewidth=5, alpha=0.35)
        axes.plot([one.value], [place], one.marker, color=one.colour, markersize=9, markeredgewidth=2.5)
    axes.axvline(1, color=light("muted"), linewidth=1.2)
    axes.set_yticks(range(len(lines)), [one.label for one in lines])
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    ratio_axis(axes, "x", label)
    # Values stand in a column of their own, where no interval runs through them.
    values = axes.secondary_yaxis("right")
    values.set_yticks(range(len(lines)), [times(one.value) for one in lines], fontweight="bold")
    values.tick_params(labelcolor=light("ink"))
    values.spines["right"].set_visible(False)
    return figure, [Mark(axes, one.value, place, _said(one)) for place, one in enumerate(lines)]


def _said(one: ForestLine) -> str:
    bounded = known(one.low) and known(one.high)
    return f"{one.label}: {times(one.value)}" + (f" ({span(one.low, one.high)})" if bounded else ", no interval")
