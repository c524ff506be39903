"""Scatter charts: measured against predicted speedup, and prompts with one drafter against the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from harness.report.charts.drawing import Chart, Legend, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import CATEGORY_COLOURS, category_colour, light, marker
from harness.report.charts.ratios import ratio_axis, square
from harness.report.names import clean, number, times
from harness.report.page.data import RunData, Series, colour_of, marker_of
from harness.vocabulary import ALL

#: Above this number of points a scatter is drawn as an image, without a link per point.
MAX_LINKED_POINTS = 1500


def prediction_chart(run: RunData, table: pd.DataFrame) -> Chart | None:
    """Measured speedup against the prediction from acceptance and cost per round, per arm and category.

    `table` as `chart_data.speedups` gives it.
    """
    table = table[table["speedup_decode"].notna() & table["predicted_speedup"].notna()]
    if table.empty:
        return None
    figure, axes = new_figure(4.5)
    marks: list[Mark] = []
    for one in run.drafting:
        own = table[table["label"] == one.label]
        whole = own["category"] == ALL
        look: dict[str, Any] = {"color": colour_of(one), "marker": marker_of(one)}
        large: dict[str, Any] = {"s": 95, "label": legend_text(one.label)}
        for part, style in ((~whole, {"s": 34, "alpha": 0.5, "lw": 0}), (whole, large)):
            axes.scatter(own[part]["predicted_speedup"], own[part]["speedup_decode"], **look, **style)
        marks += [_prediction(axes, one, row) for row in own.to_dict("records")]
    values = table[["predicted_speedup", "speedup_decode"]].to_numpy(dtype=float)
    square(axes, values)
    axes.set_xlabel("predicted from rounds, log scale")
    axes.set_ylabel("measured, log scale")
    axes.legend(loc="upper left")
    return finish(figure, "predicted", "Measured against predicted speedup", marks=marks)


def _prediction(axes: Axes, one: Series, row: dict[Hashable, Any]) -> Mark:
    where = "all categories" if row["category"] == ALL else clean(row["category"])
    x, y = row["predicted_speedup"], row["speedup_decode"]
    return Mark(axes, x, y, f"{one.label}, {where}: measured {times(y)}, predicted {times(x)}")


def scatter_chart(run: RunData, table: pd.DataFrame, links: dict[str, str]) -> Chart | None:
    """Each prompt's speedup with one drafter against its speedup with the other.

    With a single drafter: its speedup against its acceptance length. `table` as `chart_data.prompts` gives it;
    `links` maps a prompt to its anchor in the prompt browser.
    """
    arms = run.contenders[:2]
    if not arms or table.empty:
        return None
    wide = table.pivot_table(index=["prompt_id", "category"], columns="label", values="speedup_decode", aggfunc="first")
    duel = len(arms) == 2 and all(one.label in wide for one in arms)
    if duel:
        points = wide[[one.label for one in arms]].dropna().set_axis(["x", "y"], axis=1).reset_index()
    else:
        own = table[table["label"] == arms[0].label]
        points = own[["prompt_id", "category", "acceptance_length", "speedup_decode"]].dropna()
        points = points.set_axis(["prompt_id", "category", "x", "y"], axis=1)
    if points.empty:
        return None
    figure, axes = new_figure(4.5)
    names = tuple(one.label for one in arms) if duel else ("tokens per round", arms[0].label)
    marks = _points(axes, points, links, names)
    if duel:
        square(axes, points[["x", "y"]].to_numpy(dtype=float))
        first, second = names
        axes.text(0.03, 0.97, f"{second} faster", transform=axes.transAxes, va="top", color=light("muted"))
        axes.text(0.97, 0.03, f"{first} faster", transform=axes.transAxes, ha="right", color=light("muted"))
        axes.set_xlabel(f"speedup with {first}, log scale")
        axes.set_ylabel(f"speedup with {second}, log scale")
        title = f"{first} against {second}, prompt by prompt"
    else:
        axes.axhline(1, color=light("muted"), linewidth=1.2)
        axes.set_xlabel("tokens per round")
        ratio_axis(axes, "y", f"speedup with {arms[0].label}")
        title = f"{arms[0].label}, prompt by prompt"
    count = points["category"].nunique()
    legend = Legend("lower center", min(4, count)) if count > 1 else None
    note = "" if marks else f"{number(len(points), 0)} prompts, drawn as an image."
    return finish(figure, "prompts", title, note, marks, legend)


def _points(axes: Axes, points: pd.DataFrame, links: dict[str, str], names: Sequence[str]) -> list[Mark]:
    """Draw one collection per category; return a mark per point, unless there are too many. `names`: of x and y."""
    few = len(points) <= MAX_LINKED_POINTS
    sizes = points["category"].value_counts()
    named = list(sizes.index[: CATEGORY_COLOURS - 1 if len(sizes) > CATEGORY_COLOURS else CATEGORY_COLOURS])
    group = points["category"].where(points["category"].isin(named), "others")
    marks = []
    for place, category in enumerate(dict.fromkeys([*named, *group])):
        own = points[group == category]
        colour = category_colour(place)
        axes.scatter(
            own["x"],
            own["y"],
            s=38 if few else 9,
            alpha=0.75 if few else 0.35,
            linewidths=0,
            color=light(colour),
            marker=marker(colour),
            label=legend_text(clean(category)),
            rasterized=not few,
        )
        for prompt, of, x, y in own[["prompt_id", "category", "x", "y"]].itertuples(index=False) if few else ():
            said = f"{clean(prompt)} ({clean(of)}): {names[0]} {number(x)}, {names[1]} {number(y)}"
            marks.append(Mark(axes, x, y, said, links.get(prompt, "")))
    return marks
