"""Turns a matplotlib figure into an SVG for the page and a PNG beside it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend as MatplotlibLegend

from harness.report.charts.palette import follow_page, light

WIDTH = 5.2  # inches: readable at half the page's width
NARROW = 3.25  # inches: on a phone's 300 pixels the smallest text has 12
SVG_DPI = 72  # matplotlib's own for SVG: a point is a unit of the drawing
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
class Mark:
    """A value of a chart that the page can read out: `text` at (x, y) in data of `axes`; `link` leads to more."""

    axes: Axes
    x: float
    y: float
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished chart: `svg` and `narrow` for wide and narrow pages (safe markup), `png` for a file, of one `figure`.

    `values` counts the marks. A notebook shows the PNG.
    """

    name: str
    title: str
    svg: str
    narrow: str
    png: bytes
    note: str = ""
    values: int = 0
    figure: Figure | None = field(default=None, repr=False, compare=False)

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: str | Path) -> Path:
        """Write the chart as PNG; returns the path."""
        where = Path(path)
        where.write_bytes(self.png)
        return where


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
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def lay_out(figure: Figure, canvas: type[FigureCanvasBase], dpi: float) -> None:
    """Make room for titles, labels and legends as `canvas` measures them: what is saved next is drawn once.

    A figure with a layout of its own is drawn twice for each file, the first time for nothing but its layout.
    """
    canvas(figure)
    figure.set_dpi(dpi)
    ConstrainedLayoutEngine().execute(figure)


@dataclass(frozen=True, slots=True)
class Legend:
    """A legend outside the axes, `where` as matplotlib says it; a narrow drawing has two columns at most."""

    where: Literal["upper left", "lower center"]
    columns: int

    def draw(self, figure: Figure, most: int) -> MatplotlibLegend:
        style: Any = {"loc": f"outside {self.where}", "ncols": min(most, self.columns)}
        return figure.legend(**style, handletextpad=0.4, columnspacing=1.2)


def finish(
    figure: Figure,
    name: str,
    title: str,
    note: str = "",
    marks: Sequence[Mark] = (),
    legend: Legend | None = None,
) -> Chart:
    """`figure` as a finished chart, with the values of `marks` for readers who point at them or walk through them."""
    title = f"Synthetic: {title}" if _synthetic.get() else title
    width, height = figure.get_size_inches()
    narrow_height = height if width <= WIDTH else height * NARROW / width
    svg = {}
    for narrow, size, most in ((True, (NARROW, narrow_height), 2), (False, (width, height), 9)):
        figure.set_size_inches(size)
        drawn = legend.draw(figure, most) if legend else None
        svg[narrow] = to_svg(figure, name, title, marks, narrow=narrow)
        if drawn and narrow:
            drawn.remove()
    figure.suptitle(title, fontsize=12, color=light("ink"))
    lay_out(figure, FigureCanvasAgg, PNG_DPI)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=PNG_DPI, facecolor="white")
    figure.set_dpi(SVG_DPI)
    figure.set_layout_engine("constrained")  # for whoever changes the figure
    return Chart(name, title, svg[False], svg[True], png.getvalue(), note, len(marks), figure)


def legend_text(name: str) -> str:
    """`name` as a label: matplotlib drops labels with a leading underscore from the legend."""
    return f" {name}" if name.startswith("_") else name


def to_svg(figure: Figure, name: str, title: str, marks: Sequence[Mark] = (), *, narrow: bool = False) -> str:
    """`figure` as markup for the page, whose colours follow the reader's preference and whose text uses its font.

    `name` seeds the ids, which matplotlib would draw at random: the same figure gives the same markup, and the charts
    of one page do not share an id. The narrow drawing holds the places of the marks, the wide one their texts as well.
    """
    out = io.StringIO()
    salt = f"{name}-narrow" if narrow else name
    lay_out(figure, FigureCanvasSVG, SVG_DPI)
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    head, _, body = svg.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<(g|text) id="[^"]*"', r"<\1", body)
    label = escape(title, quote=True)
    overlay = "".join(_placed(figure, mark, narrow) for mark in marks)
    body = body.replace("</svg>", f'<g class="marks">{overlay}</g></svg>') if overlay else body
    kind = "narrow" if narrow else "wide"
    return f'<svg class="{kind}" role="img" aria-label="{label}" {box.group() if box else ""}>{follow_page(body)}'


def _placed(figure: Figure, mark: Mark, narrow: bool) -> str:
    """One mark as an invisible circle over its value, in the drawing's own units; the layout must have been made."""
    x, y = mark.axes.transData.transform((mark.x, mark.y))
    y = figure.bbox.height - y
    link = f' data-link="{escape(mark.link, quote=True)}"' if mark.link and not narrow else ""
    text = "" if narrow else f"<title>{escape(mark.text)}</title>"
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="7"{link}>{text}</circle>'
