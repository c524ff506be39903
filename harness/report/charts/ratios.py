"""Logarithmic axes for ratios: twice as fast and half as fast lie equally far from 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator

from harness.report.charts.palette import light
from harness.report.names import compact

CROWDED = 4.0  # inches: a narrower figure has room for every second tick
RATIO_STEPS: tuple[Sequence[float], ...] = (
    [2.0**power for power in range(-6, 8)],
    [0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 12],
    [step / 4 for step in range(1, 40)],
    [step / 10 for step in range(1, 100)],
    [step / 20 for step in range(1, 200)],
)


def square(axes: Axes, values: np.ndarray) -> None:
    """Give both axes one logarithmic scale that covers `values` [N, 2], and draw the diagonal."""
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = min(0.9, float(positive.min()) / 1.08), max(1.2, float(positive.max()) * 1.08)
    axes.plot([low, high], [low, high], color=light("axis"), linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    for name in ("x", "y"):
        ratio_axis(axes, name, "")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)


class RatioLocator(Locator):
    """Places at least three ticks at round ratios: 1, 2, 4 over a wide range, 1.0, 1.1, 1.2 over a narrow one."""

    def __call__(self) -> Sequence[float]:
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]
        ticks = self.tick_values(low, high)
        width = self.axis.get_figure().get_size_inches()[0]  # type: ignore[union-attr]
        return ticks[::2] if width < CROWDED and len(ticks) > 3 else ticks

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        for step in RATIO_STEPS:
            ticks = [tick for tick in step if vmin <= tick <= vmax]
            if len(ticks) >= 3:
                return ticks
        return MaxNLocator(4).tick_values(vmin, vmax)


def ratio_axis(axes: Axes, which: str, label: str) -> None:
    """Make axis `which` (`x` or `y`) a logarithmic axis of ratios, named `label` unless empty; the name says "log"."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(RatioLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{compact(value)}×"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if label:
        axis.set_label_text(f"{label}, log scale")
