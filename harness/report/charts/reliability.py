"""How far the drafters' confidence can be trusted. None for a run that was not diagnosed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.charts.drawing import Chart, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import arm_colour, light, marker
from harness.report.names import arm_name, clean, known, percent


def reliability_chart(diagnoses: Mapping[str, Any]) -> Chart | None:
    """The share of reached drafts that stood against the drafter's confidence in them."""
    figure, axes = new_figure()
    marks: list[Mark] = []
    for place, (arm, found) in enumerate(diagnoses.items()):
        whole: dict[str, Any] = next((one for one in found.get("confidence") or [] if one.get("position") is None), {})
        bins = [one for one in whole.get("bins") or [] if known(one.get("confidence")) and known(one.get("stood"))]
        if bins:
            label, name = arm_name(clean(arm)), arm_colour(arm, place)
            xs, ys = [one["confidence"] for one in bins], [one["stood"] for one in bins]
            axes.plot(xs, ys, marker=marker(name), markersize=5, color=light(name), label=legend_text(label))
            said = [f"{label}, confidence {percent(x)}: {percent(y)} stood" for x, y in zip(xs, ys, strict=True)]
            marks += [Mark(axes, x, y, text) for x, y, text in zip(xs, ys, said, strict=True)]
    if not marks:
        return None
    axes.plot([0, 1], [0, 1], color=light("axis"), linewidth=1, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence of the drafter")
    axes.set_ylabel("share that stood")
    axes.legend(loc="best")
    note = "On the dashed line, confidence is the truth."
    return finish(figure, "reliability", "Confidence in reached drafts", note, marks)
