"""The intervals of a run that stops when it is decided, look by look. None for any other run."""

from __future__ import annotations

from typing import Any

from harness.report.charts.drawing import Chart, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import arm_colour, light, marker
from harness.report.names import arm_name, clean, percent, span, times
from harness.report.page.data import RunData
from harness.vocabulary import BASELINE


def looks_chart(run: RunData) -> Chart | None:
    """Every comparison's interval over the prompts seen, with the margin around 1."""
    lines: dict[tuple[str, int, str], list[tuple[int, float, float, float]]] = {}
    for look in run.summary.get("looks") or []:
        for one in look["comparisons"]:
            if one["low"] is not None and one["high"] is not None:
                key = (str(one["arm"]), int(one["num_draft_tokens"]), str(one["other"]))
                lines.setdefault(key, []).append((look["prompts"], one["speedup"], one["low"], one["high"]))
    if not lines:
        return None
    figure, axes = new_figure()
    margin = (run.summary.get("until") or {}).get("margin")
    if margin is not None:
        axes.axhspan(1 / (1 + margin), 1 + margin, color=light("muted"), alpha=0.2, linewidth=0)
    marks: list[Mark] = []
    axes.axhline(1.0, color=light("axis"), linewidth=1)
    for place, ((arm, _, other), points) in enumerate(lines.items()):
        seen, values, lows, highs = zip(*points, strict=True)
        label = arm_name(clean(arm)) + ("" if other == BASELINE else f" against {arm_name(clean(other))}")
        name = arm_colour(arm, place)
        style: dict[str, Any] = {"color": light(name), "linestyle": "-" if other == BASELINE else "--"}
        axes.plot(seen, values, marker=marker(name), markersize=5, label=legend_text(label), **style)
        axes.fill_between(seen, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
        marks += [
            Mark(axes, prompts, value, f"{label}, {prompts} prompts: {times(value)} ({span(low, high)})")
            for prompts, value, low, high in points
        ]
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_ylabel("decode speedup, log scale")
    axes.set_xlabel("prompts seen")
    axes.legend(loc="best")
    note = "" if margin is None else f"The band around 1 is the margin of {percent(margin)}."
    return finish(figure, "looks", "Decode speedup at each look", note, marks)
