"""Page and leaderboard for every reader: axe-core's rules, text that a phone can show, a print that loses nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.report import write_report
from harness.report.leaderboard.board import leaderboard
from harness.report.leaderboard.page import write_leaderboard
from tests.helpers import generated_runs as synthetic
from tests.helpers.chromium import Page

pytestmark = pytest.mark.browser
PAGES = ("report.html", "leaderboard.html")
#: Size in pixels of the text in each visible element that has any: [[size, text], ...].
TEXTS = """
[...document.querySelectorAll('body *')].filter(e => e.getClientRects().length &&
  !e.closest('script, noscript, .tip') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
    const svg = e.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.trim().slice(0, 40)];
  })
"""
CUT = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1).length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's leaderboard, and beside it the page of a run with every section but the rare ones."""
    folder = tmp_path_factory.mktemp("pages")
    for job, (k, batch) in enumerate([(2, 1), (4, 4)]):
        arms = {name: replace(shape, k=k) for name, shape in synthetic.ARMS.items()}
        synthetic.write_run(
            folder / str(job), prompts=8, tokens=40, arms=arms, batch_size=batch, measured=True, mismatches=job, ties=1
        )
    write_leaderboard(leaderboard([folder]), folder)
    write_report(folder / "1").rename(folder / "report.html")
    return folder


@cache
def axe() -> str:
    """The source of axe-core, which `make setup` installs."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: make setup")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)], ids=["wide", "narrow and dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_fault(browser: Page, folder: Path, name: str, width: int, dark: bool) -> None:
    source = axe()
    browser.open(folder / name, width=width, dark=dark)
    browser.run(f"{source}; 0")
    found: list[dict[str, Any]] = browser.run("axe.run({resultTypes: ['violations']}).then(r => r.violations)")
    faults = [f"{one['impact']} {one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", PAGES)
def test_no_text_on_a_phone_is_smaller_than_12_pixels(browser: Page, folder: Path, name: str) -> None:
    browser.open(folder / name, width=360)
    small = {text: size for size, text in browser.run(TEXTS) if size < 11.99}
    assert not small
    assert browser.run("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("name", PAGES)
def test_a_print_cuts_no_table_and_leaves_out_what_needs_a_screen(browser: Page, folder: Path, name: str) -> None:
    browser.open(folder / name, width=700)  # A4 between the margins
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(CUT) == 0
    assert browser.run("[...document.querySelectorAll('nav, button, #browser, #race')]"
                       ".every(e => e.closest('thead') ? e.offsetParent : !e.offsetParent)")
    assert browser.run("[...document.querySelectorAll('figure svg.wide')].every(e => e.getClientRects().length)")


@pytest.mark.parametrize("name", PAGES)
def test_headings_have_no_gaps_and_every_control_a_name(browser: Page, folder: Path, name: str) -> None:
    browser.open(folder / name)
    assert browser.problems == []
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    named = "e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length"
    controls = "[...document.querySelectorAll('button, select, input, a, [role=listbox]')]"
    assert browser.run(f"{controls}.filter(e => !({named})).map(e => e.outerHTML)") == []


ROWS = "[...document.querySelector('table.sortable').tBodies[0].rows].filter(r => !r.hidden)"


def test_the_leaderboard_sorts_by_any_column_and_back(browser: Page, folder: Path) -> None:
    browser.open(folder / "leaderboard.html")
    heads = "document.querySelector('table.sortable').tHead.rows[0].cells"
    column = browser.run(f"[...{heads}].map(h => h.textContent)").index("Tokens/s")
    click = f"{heads}[{column}].querySelector('button').click()"
    state = f"{heads}[{column}].getAttribute('aria-sort')"
    figures = f"{ROWS}.map(r => Number(r.cells[{column}].dataset.sort))"
    before = browser.run(figures)
    browser.run(click)
    assert (browser.run(figures), browser.run(state)) == (sorted(before, reverse=True), "descending")
    browser.run(click)
    assert (browser.run(figures), browser.run(state)) == (sorted(before), "ascending")


def test_the_leaderboard_is_filtered_by_words_and_by_arm(browser: Page, folder: Path) -> None:
    browser.open(folder / "leaderboard.html")
    count, rows = "document.querySelector('.table-filters .count').textContent", f"{ROWS}.length"
    assert (browser.run(rows), browser.run(count)) == (4, "4 rows")

    def set_to(element: str, value: str) -> None:
        browser.run(f"{{const e = document.querySelector('.table-filters {element}'); e.value = {value!r};"
                    " e.dispatchEvent(new Event('input'))}")  # fmt: skip

    set_to("select", "MTP")
    assert (browser.run(rows), browser.run(count)) == (2, "2 of 4 rows")
    set_to("input", "k = 4")
    assert browser.run(rows) == 1
    set_to("input", "nothing like it")
    assert browser.run(rows) == 0
