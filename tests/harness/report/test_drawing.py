"""The values that a chart reads out lie where its points are drawn, in the wide and in the narrow drawing."""

from __future__ import annotations

import re

import pytest

from harness.report.charts.drawing import NARROW, WIDTH, Chart, Legend, Mark, drawing, finish, new_figure

POINTS = [(1.0, 3.0), (2.0, 5.0), (4.0, 4.0)]


@pytest.fixture(scope="module")
def chart() -> Chart:
    with drawing():
        figure, axes = new_figure()
        axes.plot(*zip(*POINTS, strict=True), marker="o", label="a")
        axes.set_ylabel("a label that the layout makes room for")
        marks = [Mark(axes, x, y, f"<{x:g}> & {y:g}", "#p1" if x == 2 else "") for x, y in POINTS]
        return finish(figure, "made_up", "Made up", marks=marks, legend=Legend("lower center", 3))


def places(svg: str, pattern: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(pattern, svg)]


@pytest.mark.parametrize("which", ["svg", "narrow"])
def test_every_mark_lies_on_its_point(chart: Chart, which: str) -> None:
    svg = getattr(chart, which)
    drawn = places(svg, r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: #1f77b4')
    marks = places(svg, r'<circle class="mark" cx="([\d.]+)" cy="([\d.]+)"')
    assert len(marks) == 3
    for x, y in marks:
        assert min(abs(x - a) + abs(y - b) for a, b in drawn) < 0.5


def test_texts_are_escaped_and_stand_once(chart: Chart) -> None:
    assert "<title>&lt;2&gt; &amp; 5</title>" in chart.svg
    assert "<title>" not in chart.narrow and chart.svg.count("data-link") == 1
    assert chart.values == 3


def test_the_narrow_drawing_is_narrower_and_shares_no_id(chart: Chart) -> None:
    widths = [float(re.findall(r'viewBox="0 0 ([\d.]+)', svg)[0]) for svg in (chart.svg, chart.narrow)]
    assert widths == [pytest.approx(72 * WIDTH), pytest.approx(72 * NARROW)]
    wide, narrow = ({*re.findall(r' id="([^"]+)"', svg)} for svg in (chart.svg, chart.narrow))
    assert wide and narrow and not wide & narrow
