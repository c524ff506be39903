"""The picture that a chat or a timeline shows beside a link to a page: 1200 x 630 pixels, as most platforms ask for."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.report.charts.drawing import drawing
from harness.report.charts.palette import light, marker
from harness.report.charts.ratios import ratio_axis
from harness.report.names import known, span, times

SIZE, DPI = (12.0, 6.3), 100  # inches and dots per inch: 1200 x 630
TITLE_LETTERS, FOOT_LETTERS = 34, 84
MAX_BARS = 4


@dataclass(frozen=True, slots=True)
class CardBar:
    """One arm on a card: its name, its speedup with the interval, the palette's name of its colour."""

    label: str
    value: float
    low: float | None
    high: float | None
    colour: str


def card(title: str, lines: Sequence[str], bars: Sequence[CardBar], tone: str, synthetic: object = False) -> bytes:
    """The card as PNG: the verdict, the arms over plain decoding, and the setting in `lines`."""
    with drawing(synthetic):
        figure = Figure(figsize=SIZE, facecolor=light("page"))
        edge = {"clear": "good", "even": "warn", "void": "bad"}.get(tone, "axis")
        figure.add_artist(_bar(figure, light(edge)))
        said = textwrap.wrap(title, TITLE_LETTERS)[:3]
        figure.text(0.065, 0.92, "\n".join(said), fontsize=38 if len(said) < 3 else 31, fontweight="bold", va="top")
        figure.text(0.935, 0.055, "drafthouse", ha="right", fontsize=20, fontweight="bold", color=light("muted"))
        foot = [part for line in lines for part in textwrap.wrap(line, FOOT_LETTERS)][:3]
        figure.text(0.065, 0.045, "\n".join(foot), fontsize=15, color=light("muted"), linespacing=1.4)
        if bars:
            _draw(figure, bars[:MAX_BARS], 0.62 if len(said) < 2 else 0.52)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def _bar(figure: Figure, colour: str) -> Rectangle:
    return Rectangle((0, 0), 0.016, 1, transform=figure.transFigure, color=colour, linewidth=0)


def _draw(figure: Figure, bars: Sequence[CardBar], top: float) -> None:
    height = min(top - 0.33, 0.11 * len(bars) + 0.02)
    axes = figure.add_axes((0.27, 0.31, 0.43, height))
    for place, one in enumerate(bars):
        colour = light(one.colour)
        if known(one.low) and known(one.high):
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=12, alpha=0.35)
        axes.plot([one.value], [place], marker(one.colour), color=colour, markersize=16)
        inside = f"{times(one.value)}  ({span(one.low, one.high)})" if known(one.low) else times(one.value)
        axes.annotate(one.label, (0, place), xycoords=("axes fraction", "data"), xytext=(-14, 0), ha="right",
                      va="center", textcoords="offset points", fontsize=22)  # fmt: skip
        axes.annotate(inside, (1, place), xycoords=("axes fraction", "data"), xytext=(10, 0), va="center",
                      textcoords="offset points", fontsize=18)  # fmt: skip
    axes.axvline(1, color=light("muted"), linewidth=2)
    ratio_axis(axes, "x", "decode speedup over plain decoding")
    axes.xaxis.label.set_fontsize(15)
    axes.tick_params(labelsize=15)
    axes.set_yticks([])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.spines["left"].set_visible(False)
