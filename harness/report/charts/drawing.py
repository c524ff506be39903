"""Turns a matplotlib figure into an SVG for the page and a PNG beside it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.charts.palette import follow_page, light

WIDTH = 5.2  # inches: readable at half the page's width and on a phone
PNG_DPI = 160

# Any: matplotlib types its settings as a literal of every name it knows, which differ by version.
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.labelsize": 10.5,
    "axes.labelcolor": light("muted"),
    "axes.edgecolor": light("axis"),
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": light("line"),
    "grid.linewidth": 0.8,
    "text.color": light("ink"),
    "xtick.color": light("axis"),
    "ytick.color": light("axis"),
    "xtick.labelcolor": light("muted"),
    "ytick.labelcolor": light("muted"),
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    # Names come from configs and datasets: a dollar sign in one is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished chart: `svg` for the page (safe markup) and `png` for a file, both from the same figure."""

    name: str
    title: str
    svg: str
    png: bytes
    note: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


#: Whether the current charts show a synthetic run: a PNG leaves its page and must say so itself.
_synthetic: ContextVar[bool] = ContextVar("synthetic", default=False)


@contextmanager
def drawing(synthetic: object = False) -> Iterator[None]:
    """Set the report's style for the block alone; titles of `synthetic` charts say so."""
    token = _synthetic.set(bool(synthetic))
    try:
        with matplotlib.rc_context(STYLE), warnings.catch_warnings():
            # The PNG's font may lack the script of a category; the SVG uses the reader's fonts.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        _synthetic.reset(token)


def new_figure(height: float = 3.3, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes, sizes in inches; it needs no closing, as pyplot does not know it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def finish(figure: Figure, name: str, title: str, note: str = "", tips: Mapping[str, str] | None = None) -> Chart:
    """`figure` as a finished chart. `tips` maps the link of a point to its tooltip."""
    title = f"Synthetic: {title}" if _synthetic.get() else title
    svg = to_svg(figure, name, title, tips or {})
    figure.suptitle(title, fontsize=12, color=light("ink"))
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=PNG_DPI, facecolor="white")
    return Chart(name, title, svg, png.getvalue(), note)


def legend_text(name: str) -> str:
    """`name` as a label: matplotlib drops labels with a leading underscore from the legend."""
    return f" {name}" if name.startswith("_") else name


def to_svg(figure: Figure, name: str, title: str, tips: Mapping[str, str]) -> str:
    """`figure` as markup for the page, whose colours follow the reader's preference and whose text uses its font.

    `name` seeds the ids, which matplotlib would draw at random: the same figure gives the same markup, and the charts
    of one page do not share an id.
    """
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    head, _, body = svg.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<(g|text) id="[^"]*"', r"<\1", body)
    # Links lead to anchors of the same page, so they must not open a window.
    body = body.replace(' target="_blank"', "")
    for link, words in tips.items():
        marker = f'<a xlink:href="{link}">'
        body = body.replace(marker, f'<a href="{link}"><title>{escape(words)}</title>')
    label = escape(title, quote=True)
    return f'<svg role="img" aria-label="{label}" {box.group() if box else ""}>{follow_page(body)}'
