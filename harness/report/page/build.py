"""Builds a report: reads the run once, draws, and writes page, charts and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.metrics.curve_file import read_curve
from harness.records.csv_text import csv_text
from harness.records.files import REPORT, replace_file
from harness.report.charts import forests, looks, rounds, scatters
from harness.report.charts.curves import NAME, Curves, curve_chart, curve_table
from harness.report.charts.drawing import Chart, drawing
from harness.report.charts.reliability import reliability_chart
from harness.report.names import clean, run_to_run_text, stopped_text
from harness.report.page import chart_data, facts, tables
from harness.report.page.browser import Browser, build_browser
from harness.report.page.card import CARD, draw_card
from harness.report.page.data import RunData, read_run
from harness.report.page.diagnosis import read_diagnoses
from harness.report.page.diagnosis import rows as diagnosis_rows
from harness.report.page.engine_table import engine_notes, engine_table
from harness.report.page.headline import headline, losslessness_counts
from harness.report.page.race import build_race
from harness.report.page.render import render
from harness.report.places import command_text
from harness.report.published.page_rows import Published, published, published_csv

FOLDER = "report"


def build(run_dir: str | Path, url: str = "") -> Path:
    """Write `report.html` and the folder `report/` (PNG charts, CSV data) of a run; return the page's path.

    `url` is empty, or the folder on the web where the page will lie: platforms fetch pictures by absolute addresses.

    Raises InputError for damaged records and OSError if nothing can be written.
    """
    run = read_run(run_dir)
    ratios = chart_data.prompts(run)
    curves = read_curve(run.run_dir)
    data = {
        "speedups": chart_data.speedups(run),
        "positions": chart_data.positions(run),
        "round_times": chart_data.round_times(run),
        "prompts": ratios,
    }
    if curves:
        data[NAME] = curve_table(run, curves)
    browser = build_browser(run, ratios)
    drawn = draw(run, data, browser, curves)
    theirs = published(run)
    folder = run.run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    for chart in drawn.values():
        replace_file(folder / f"{chart.name}.png", chart.png)
    for name, table in data.items():
        table = table.assign(synthetic=True) if run.synthetic else table
        replace_file(folder / f"{name}.csv", csv_text(table))
    if theirs:
        replace_file(folder / "published.csv", published_csv(theirs))
    replace_file(folder / CARD, draw_card(run))
    path = run.run_dir / REPORT
    replace_file(path, page(run, drawn, browser, theirs, url).encode("utf-8", "replace"))
    return path


def draw(
    run: RunData, data: Mapping[str, pd.DataFrame], browser: Browser, curves: Curves
) -> dict[str, Chart]:
    """The charts that have data, by name."""
    with drawing(run.synthetic):
        made = [
            forests.speedup_chart(run),
            forests.duel_chart(run),
            looks.looks_chart(run),
            rounds.position_chart(run, data["positions"], "unconditional"),
            rounds.position_chart(run, data["positions"], "conditional"),
            rounds.time_chart(run, data["round_times"], "round"),
            rounds.time_chart(run, data["round_times"], "token"),
            scatters.prediction_chart(run, data["speedups"]),
            curve_chart(run, curves),
            scatters.scatter_chart(run, data["prompts"], browser.links),
            reliability_chart(read_diagnoses(run.run_dir)),
        ]
    return {chart.name: chart for chart in made if chart is not None}


def page(run: RunData, drawn: Mapping[str, Chart], browser: Browser, theirs: list[Published], url: str = "") -> str:
    """The report as HTML."""
    race = build_race(run, browser.data)
    return render(
        "report.html.jinja",
        headline=headline(run),
        verdicts=losslessness_counts(run),
        claimed=not run.summary.get("synthetic"),
        notices=facts.notices(run),
        subtitle=facts.subtitle(run),
        guards=tables.guard_list(run),
        noise=facts.noise(run),
        stopped=stopped_text(run.summary),
        run_to_run=run_to_run_text(run.summary),
        arms=tables.arms_table(run),
        matrix=tables.matrix_table(run),
        engines=engine_table(run),
        engine_notes=engine_notes(run),
        strength=tables.strength_table(run),
        rates=facts.rates(run),
        others=tables.others_table(run),
        charts=drawn,
        published=theirs,
        diagnoses=diagnosis_rows(read_diagnoses(run.run_dir)),
        browser=browser,
        race=race,
        browser_json=json.dumps({**browser.data, "race": race}, separators=(",", ":")),
        card=f"{url}{FOLDER}/{CARD}",
        command=clean(command_text(run.manifest)),
        ran=facts.what_ran(run),
        drafters=facts.drafters(run),
        definitions=run.summary.get("definitions", {}),
        confidence=tables.percent(run.summary.get("confidence", 0.95), 0),
        repeats=int(run.generations["repeat"].max()) + 1 if len(run.generations) else 0,
    )
