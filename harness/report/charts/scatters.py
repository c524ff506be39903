"""Scatter charts: measured against predicted speedup, and prompts with one drafter against the other."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from harness.report.charts.drawing import Chart, finish, legend_text, new_figure
from harness.report.charts.palette import CATEGORY_COLOURS, category_colour, light
from harness.report.charts.ratios import ratio_axis, square
from harness.report.names import clean, number
from harness.report.page.data import RunData, colour_of
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
    for one in run.drafting:
        own = table[table["label"] == one.label]
        whole = own["category"] == ALL
        axes.scatter(
            own[~whole]["predicted_speedup"], own[~whole]["speedup_decode"], s=34, alpha=0.5, color=colour_of(one), lw=0
        )
        x, y = own[whole]["predicted_speedup"], own[whole]["speedup_decode"]
        axes.scatter(x, y, s=95, color=colour_of(one), label=legend_text(one.label))
    values = table[["predicted_speedup", "speedup_decode"]].to_numpy(dtype=float)
    square(axes, values)
    axes.set_xlabel("predicted: tokens per round / cost of a round")
    axes.set_ylabel("measured")
    axes.legend(loc="upper left")
    return finish(figure, "predicted", "Measured against predicted speedup")


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
    tips = _points(axes, points, links)
    if duel:
        square(axes, points[["x", "y"]].to_numpy(dtype=float))
        first, second = (one.label for one in arms)
        axes.text(0.03, 0.97, f"{second} faster", transform=axes.transAxes, va="top", color=light("muted"))
        axes.text(0.97, 0.03, f"{first} faster", transform=axes.transAxes, ha="right", color=light("muted"))
        axes.set_xlabel(f"speedup with {first}")
        axes.set_ylabel(f"speedup with {second}")
        title = f"{first} against {second}, prompt by prompt"
    else:
        axes.axhline(1, color=light("muted"), linewidth=1.2)
        axes.set_xlabel("tokens per round")
        ratio_axis(axes, "y", f"speedup with {arms[0].label}")
        title = f"{arms[0].label}, prompt by prompt"
    count = points["category"].nunique()
    if count > 1:
        figure.legend(loc="outside lower center", ncols=min(4, count), handletextpad=0.2, columnspacing=1.2)
    note = "" if tips else f"{number(len(points), 0)} prompts, drawn as an image."
    return finish(figure, "prompts", title, note, tips)


def _points(axes: Axes, points: pd.DataFrame, links: dict[str, str]) -> dict[str, str]:
    """Draw one collection per category; return the tooltip of each linked point by its link."""
    linked = len(points) <= MAX_LINKED_POINTS
    sizes = points["category"].value_counts()
    named = list(sizes.index[: CATEGORY_COLOURS - 1 if len(sizes) > CATEGORY_COLOURS else CATEGORY_COLOURS])
    group = points["category"].where(points["category"].isin(named), "others")
    tips: dict[str, str] = {}
    for place, category in enumerate(dict.fromkeys([*named, *group])):
        own = points[group == category]
        drawn = axes.scatter(
            own["x"],
            own["y"],
            s=38 if linked else 9,
            alpha=0.75 if linked else 0.35,
            linewidths=0,
            color=light(category_colour(place)),
            label=legend_text(clean(category)),
            rasterized=not linked,
        )
        if linked:
            drawn.set_urls([links.get(prompt) for prompt in own["prompt_id"]])
            for prompt, x, y in zip(own["prompt_id"], own["x"], own["y"], strict=True):
                if prompt in links:
                    tips[links[prompt]] = f"{clean(prompt)} ({clean(category)}): {number(x)}, {number(y)}"
    return tips
