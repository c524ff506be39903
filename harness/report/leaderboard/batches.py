"""Runs of several batch sizes: throughput of the whole batch against the pace of each row, and speedup by k and batch.

A larger batch serves more tokens a second in all and fewer to each reader. A drafter moves that trade-off: the frontier
holds the settings that no other beats in both figures.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from harness.metrics.frontier import frontier
from harness.metrics.summary import overall
from harness.report.charts.drawing import Chart, Legend, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import arm_colour, light, marker
from harness.report.leaderboard.board import Leaderboard, is_bounded, is_void, kind_of, together
from harness.report.leaderboard.headline import TITLES, plain, records, varying
from harness.report.names import arm_name, clean, is_control, known, number, span, times
from harness.report.page.tables import Cell, Line, Table
from harness.vocabulary import ALL, BASELINE, HARNESS

PLACE = ["group", "dataset", "engine"]
SETTING = ["arm", "num_draft_tokens", "batch_size"]
POINT = [*PLACE, *SETTING]
FIGURES = ("decode_tok_s", "throughput_tok_s")
FULL_HEAT = 4  # the shade is full at 4 times as fast or as slow
MAX_CHARTS = 4


def operating_points(board: Leaderboard) -> pd.DataFrame:
    """One row per group, dataset, engine, arm, k and batch size: tokens/s of a row and of the whole batch.

    Baselines are in, controls and void rows are not; runs of the same setting count as their mean. Only groups with two
    batch sizes or more are kept. Columns: POINT, FIGURES.
    """
    lines = []
    for run in board.runs:
        engines = {arm["name"]: arm.get("engine") or HARNESS for arm in run.manifest.get("arms") or []}
        for row in overall(run.summary):
            kind = kind_of(run, row["arm"])
            counts = row["arm"] == BASELINE or not is_control(kind)
            if counts and not row.get("verdict_mismatch") and all(known(row.get(name)) for name in FIGURES):
                place = (board.letters[run.label], row["dataset"], engines.get(row["arm"], HARNESS))
                lines.append((*place, *(row.get(name) for name in (*SETTING, *FIGURES))))
    table = pd.DataFrame(lines, columns=[*POINT, *FIGURES])
    several = table.groupby(PLACE)["batch_size"].transform("nunique") > 1
    return table[several].groupby(POINT, sort=False, as_index=False)[list(FIGURES)].mean()


def pareto_charts(board: Leaderboard) -> dict[str, Chart]:
    """The trade-off of each group, dataset and engine, by the chart's name; empty unless batch sizes differ."""
    points = operating_points(board)
    if points.empty:
        return {}
    differing = varying(points, PLACE)
    found = {}
    for place, (key, own) in enumerate(points.groupby(PLACE, sort=False)):
        assert isinstance(key, tuple)
        if place == MAX_CHARTS:
            break
        where = ", ".join(f"{TITLES[name].lower()} {plain(key[PLACE.index(name)])}" for name in differing)
        name = f"leaderboard_pareto_{place}" if place else "leaderboard_pareto"
        found[name] = _pareto(own.reset_index(drop=True), name, where)
    return found


def _pareto(points: pd.DataFrame, name: str, where: str) -> Chart:
    figure, axes = new_figure(4.2)
    marks = []
    best = frontier(list(zip(points["decode_tok_s"], points["throughput_tok_s"], strict=True)))
    edge = points.loc[best]
    axes.plot(edge["decode_tok_s"], edge["throughput_tok_s"], color=light("axis"), linewidth=2, zorder=1)
    arms = list(dict.fromkeys(points["arm"]))
    for place, arm in enumerate(arms):
        own = points[points["arm"] == arm]
        colour = arm_colour(arm, place)
        title = arm_name(clean(arm))
        axes.scatter(own["decode_tok_s"], own["throughput_tok_s"], s=60, color=light(colour), marker=marker(colour),
                     label=legend_text(title), zorder=2)  # fmt: skip
        for index, row in own.iterrows():
            k = "" if arm == BASELINE else f", k={row['num_draft_tokens']}"
            said = f"{title}{k}, batch {row['batch_size']}: {number(row['decode_tok_s'], 1)} tokens/s a row, "
            said += f"{number(row['throughput_tok_s'], 1)} in all" + (", on the frontier" if index in best else "")
            marks.append(Mark(axes, row["decode_tok_s"], row["throughput_tok_s"], said))
    for _, row in edge.iterrows():
        text = f"batch {row['batch_size']}" + (f", k={row['num_draft_tokens']}" if row["arm"] != BASELINE else "")
        axes.annotate(text, (row["decode_tok_s"], row["throughput_tok_s"]), xytext=(6, 6), color=light("muted"),
                      textcoords="offset points", fontsize=9.5)  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(0.12)
    axes.set_xlabel("tokens/s of one row")
    axes.set_ylabel("tokens/s of all rows")
    title = "Throughput of the batch against the pace of a row" + (f", {where}" if where else "")
    note = "The line joins the settings that no other beats in both figures. Different runs are not paired."
    return finish(figure, name, title, note, marks, Legend("lower center", min(4, len(arms))))


def batch_table(board: Leaderboard) -> Table:
    """Speedup by arm and k (lines) and batch size (columns), over the baseline of the same batch size.

    Without lines unless batch sizes differ; controls and void rows are left out.
    """
    rows = board.rows[(board.rows["category"] == ALL) & ~board.rows["kind"].map(is_control).astype(bool)]
    rows = rows[~is_void(rows)]
    rows = rows[rows.groupby(PLACE)["batch_size"].transform("nunique") > 1]
    sizes = sorted({int(size) for size in rows["batch_size"]})
    differing = varying(rows, PLACE)
    lines = []
    for _, own in rows.sort_values([*PLACE, "arm", "num_draft_tokens"]).groupby([*PLACE, "arm"], sort=False):
        bounded = own[is_bounded(own)]
        top = bounded["speedup_decode"].max() if len(bounded) else None
        for k, part in own.groupby("num_draft_tokens"):
            cells = []
            for size in sizes:
                here = part[part["batch_size"] == size]
                cells.append(_cell({**together(here), **_throughput(here)}, top) if len(here) else Cell("–"))
            first = records(part)[0]
            where = ", ".join(f"{TITLES[name].lower()} {plain(first[name])}" for name in differing)
            mark = ", ".join(filter(None, [f"k = {k}", where]))
            lines.append(Line(arm_name(clean(first["arm"])), arm_colour(str(first["arm"])), tuple(cells), mark))
    about = "Decode speedup, interval, tokens/s of all rows"
    return Table(tuple((f"Batch {size}", about) for size in sizes), tuple(lines))


def _throughput(rows: pd.DataFrame) -> dict[str, Any]:
    values = rows["throughput_tok_s"].dropna()
    return {"throughput_tok_s": float(values.mean()) if len(values) else None}


def _cell(figures: dict[str, Any], top: float | None) -> Cell:
    value, low, high = (figures[f"speedup_decode{end}"] for end in ("", "_low", "_high"))
    bounded = known(low) and known(high)
    small = span(low, high) if bounded else "no interval"
    if known(figures["throughput_tok_s"]):
        small += f"\n{number(figures['throughput_tok_s'], 1)} tok/s"
    # Without an interval a shade would be a claim.
    heat = max(-1.0, min(1.0, math.log(value) / math.log(FULL_HEAT))) if bounded else None
    return Cell(times(value), small, "best" if bounded and value == top else "", heat)
