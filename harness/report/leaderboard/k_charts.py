"""Speedup and acceptance length against k, one line per arm of runs that may be compared."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import FixedLocator, MaxNLocator

from harness.report.charts.drawing import Chart, Legend, Mark, finish, legend_text, new_figure
from harness.report.charts.palette import arm_colour, light, marker
from harness.report.charts.ratios import ratio_axis
from harness.report.leaderboard.board import Leaderboard, is_void, together
from harness.report.names import arm_name, clean, known, number, span

MAX_LINES = 12
STYLES = ("-", "--", ":", "-.")
LINE = ["group", "dataset", "batch_size", "arm"]


def k_charts(board: Leaderboard) -> dict[str, Chart]:
    """Both curves over all categories, by name; empty if no arm ran with two values of k."""
    usable = board.overall[~is_void(board.overall)]
    several = usable.groupby(LINE)["num_draft_tokens"].transform("nunique") > 1
    drawn = usable[several]
    if drawn.empty:
        return {}
    made = [
        _curve(drawn, "speedup_decode", "leaderboard_speedup", "Speedup against k"),
        _curve(drawn, "acceptance_length", "leaderboard_acceptance", "Tokens per round against k"),
    ]
    return {chart.name: chart for chart in made}


def _curve(rows: pd.DataFrame, column: str, name: str, title: str) -> Chart:
    figure, axes = new_figure(3.9)
    groups = list(rows.groupby(LINE, sort=False))
    varying = [field for field in LINE[:3] if rows[field].nunique() > 1]
    arms = list(dict.fromkeys(rows["arm"]))
    cells = list(dict.fromkeys(zip(*(rows[field] for field in LINE[:3]), strict=True)))
    ringed = False
    marks: list[Mark] = []
    for key, own in groups[:MAX_LINES]:
        assert isinstance(key, tuple)
        arm = str(key[3])
        name_of_colour = arm_colour(arm, arms.index(arm))
        colour, shape = light(name_of_colour), marker(name_of_colour)
        style = STYLES[cells.index(key[:3]) % len(STYLES)]
        # One point per k, as in the table of best k.
        by_k = pd.DataFrame({k: together(part) for k, part in own.groupby("num_draft_tokens")}).T.astype(float)
        middle, bounded = by_k[column], by_k[by_k["speedup_decode_low"].notna()]
        if column == "speedup_decode":
            low, high = bounded["speedup_decode_low"], bounded["speedup_decode_high"]
            axes.vlines(bounded.index, low, high, color=colour, alpha=0.35, linewidth=4)
        label = ", ".join([arm_name(clean(arm)), *(_said(field, key[LINE.index(field)]) for field in varying)])
        axes.plot(middle.index, middle, style, marker=shape, markersize=6, color=colour, label=legend_text(label))
        marks += [Mark(axes, k, middle[k], f"{label}, k={k}: {_figures(column, by_k.loc[k])}") for k in by_k.index]
        best = middle.index[[int(middle.to_numpy().argmax())]]
        if column == "speedup_decode" and best[0] in bounded.index:
            ringed = True
            axes.plot(best, middle[best], "o", markersize=13, markerfacecolor="none", color=colour)
    tried = sorted(set(rows["num_draft_tokens"]))
    # Ticks at the tried values, as long as they do not overlap.
    axes.xaxis.set_major_locator(FixedLocator(tried) if len(tried) <= 9 else MaxNLocator(integer=True))
    axes.set_xlabel("draft tokens per round (k)")
    if column == "speedup_decode":
        axes.axhline(1, color=light("muted"), linewidth=1.2)
        ratio_axis(axes, "y", "decode speedup")
    else:
        axes.set_ylabel("tokens per round")
        axes.set_ylim(bottom=1)
    left = len(groups) - MAX_LINES
    said = ["Ringed: the best k." if ringed else "", f"{left} more in the CSV." if left > 0 else ""]
    return finish(figure, name, title, " ".join(filter(None, said)), marks, Legend("lower center", min(3, len(groups))))


def _figures(column: str, one: pd.Series) -> str:
    if column != "speedup_decode":
        return f"{number(one[column])} tokens per round"
    low, high = one["speedup_decode_low"], one["speedup_decode_high"]
    return f"{number(one[column])}×" + (f" ({span(low, high)})" if known(low) and known(high) else ", no interval")


def _said(field: str, value: object) -> str:
    return {"group": f"group {value}", "batch_size": f"batch {value}"}.get(field, clean(value))
