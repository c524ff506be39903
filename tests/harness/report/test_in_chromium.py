"""The report in a real browser: no error in the console, nothing fetched, the filter works, text stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report import write_report
from tests.helpers import generated_runs as synthetic
from tests.helpers.chromium import Page

pytestmark = pytest.mark.browser
SHOWN = "[...document.querySelectorAll('#prompt-list button')].filter(b => !b.hidden).length"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {**synthetic.ARMS, "oracle": synthetic.CONTROLS["oracle"]}
    folder = synthetic.write_run(
        tmp_path_factory.mktemp("run"), prompts=15, tokens=40, mismatches=1, errors=1, arms=arms
    )
    return write_report(folder)


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.open(report)
    return browser


def filter_by(page: Page, element: str, value: str) -> None:
    page.run(
        f"{{const e = document.getElementById('{element}'); e.value = {value!r}; e.dispatchEvent(new Event('input'))}}"
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_opens_without_an_error_and_fits(browser: Page, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width=width, dark=dark)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 23, 27)") is dark
    ink = browser.run("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert ink == ("rgb(232, 234, 237)" if dark else "rgb(29, 34, 41)")


def test_the_browser_filters_by_text_category_and_verdict(page: Page) -> None:
    assert page.run(SHOWN) == 15
    filter_by(page, "filter-category", "maths")
    assert page.run(SHOWN) == 3
    assert page.run("document.querySelector('#prompt-detail h3').textContent").startswith("maths-")
    filter_by(page, "filter-text", "PROMPT NUMBER 6:")
    assert page.run(SHOWN) == 1
    filter_by(page, "filter-text", "written nowhere")
    assert page.run(SHOWN) == 0
    assert page.run("document.querySelector('#prompt-list .empty').hidden") is False
    filter_by(page, "filter-text", "")
    filter_by(page, "filter-category", "")
    filter_by(page, "filter-verdict", "mismatch")
    assert page.run(SHOWN) == 1
    assert page.run("document.getElementById('filter-count').textContent") == "1 of 15 prompts"
    assert page.problems == []


def test_drafted_and_own_tokens_are_coloured_side_by_side(page: Page) -> None:
    heads = "[...document.querySelectorAll('.output h4')].map(h => h.firstChild.textContent)"
    assert page.run(heads) == ["MTP", "DFlash"]
    assert page.run("document.querySelectorAll('.output .drafted').length") > 0
    own = "getComputedStyle(document.querySelector('.output .own')).textDecorationLine"
    assert page.run(own) == "underline"
    shade = "getComputedStyle(o.querySelector('.drafted')).backgroundColor"
    first, second = page.run(f"[...document.querySelectorAll('.output')].map(o => {shade})")
    assert first != second


def test_arms_can_be_added_and_a_round_describes_itself(page: Page) -> None:
    page.run("[...document.querySelectorAll('.chips button')].find(b => b.textContent === 'Baseline').click()")
    assert page.run("document.querySelectorAll('.output').length") == 3
    page.run("document.querySelector('.output .round').click()")
    assert "drafts accepted" in page.run("document.querySelector('.round-line').textContent")


def test_a_script_in_a_prompt_stays_text(page: Page) -> None:
    filter_by(page, "filter-text", "<script>window.hacked")
    assert page.run(SHOWN) == 1
    assert page.run("document.querySelector('#prompt-detail .asked').textContent") == synthetic.SCRIPT_PROMPT
    assert page.run("typeof window.hacked") == "undefined"
    assert page.run("document.querySelectorAll('.asked *').length") == 0


POINTS = "document.querySelectorAll('#chart-prompts svg.wide .mark')"
TIP = "document.querySelector('#chart-prompts .tip').textContent"


def point_at(page: Page, index: int, kind: str, pointer: str) -> None:
    """An event of the pointer on the middle of a point of the scatter."""
    page.run(
        f"{{const p = {POINTS}[{index}]; const r = p.getBoundingClientRect();"
        f" p.dispatchEvent(new PointerEvent({kind!r}, {{bubbles: true, pointerType: {pointer!r},"
        " clientX: r.x + r.width / 2, clientY: r.y + r.height / 2}))}"
    )


def test_a_point_of_the_scatter_says_its_figures_and_leads_to_its_prompt(page: Page) -> None:
    assert page.run(f"{POINTS}.length") == 15
    link = page.run(f"{POINTS}[7].dataset.link")
    point_at(page, 7, "pointermove", "mouse")
    assert "MTP" in page.run(TIP) and "DFlash" in page.run(TIP)
    point_at(page, 7, "click", "mouse")
    page.run("new Promise(done => setTimeout(done, 50))")
    chosen = page.run("document.querySelector('#prompt-list [aria-selected=true]').dataset.index")
    assert link == f"#p{chosen}"


def test_a_finger_reads_a_point_before_it_follows_the_link(page: Page) -> None:
    point_at(page, 3, "click", "touch")
    assert "MTP" in page.run(TIP) and page.run("location.hash") == ""
    point_at(page, 3, "click", "touch")
    assert page.run("location.hash") == page.run(f"{POINTS}[3].dataset.link")


def test_a_chart_is_one_tab_stop_and_the_arrow_keys_read_its_values(page: Page) -> None:
    stops = "document.querySelectorAll('#prediction a, #prediction button, #prediction [tabindex]').length"
    assert page.run(stops) == page.run("document.querySelectorAll('#prediction .chart').length") == 2
    page.run("document.querySelector('#chart-prompts .chart').focus()")

    def press(key: str) -> str:
        event = f"new KeyboardEvent('keydown', {{key: {key!r}, bubbles: true, cancelable: true}})"
        page.run(f"document.querySelector('#chart-prompts .chart').dispatchEvent({event})")
        return str(page.run(TIP))

    first = press("Home")
    assert press("ArrowRight") != first == press("ArrowLeft")
    press("End")
    assert page.run("document.querySelectorAll('#chart-prompts svg.wide .mark.on').length") == 1
    press("Enter")
    assert page.run("location.hash").startswith("#p")
    assert press("Escape") == ""


def test_every_chart_has_values_to_read(page: Page) -> None:
    charts = "[...document.querySelectorAll('.chart')]"
    assert page.run(f"{charts}.every(c => c.tabIndex === 0 && c.getAttribute('aria-label').includes('arrow keys'))")
    assert page.run("document.querySelectorAll('.mark title').length") == 0, "no second tip of the browser's own"


def test_the_list_can_be_walked_with_the_keyboard(page: Page) -> None:
    page.run("document.querySelector('#prompt-list button').click()")
    down = "new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true, cancelable: true})"
    page.run(f"document.querySelector('#prompt-list button').dispatchEvent({down})")
    assert page.run("document.querySelector('#prompt-list [aria-selected=true]').dataset.index") == "1"


def test_the_race_plays_to_its_end_at_four_times_the_pace(page: Page) -> None:
    total_ms = page.run(
        "Math.max(...Object.values(JSON.parse(document.getElementById('browser-data').textContent).race.lanes"
        "[document.getElementById('race-prompt').value]).map(l => l.us.reduce((a, b) => a + b, l.prefill))) / 1000"
    )
    final = "[...document.querySelectorAll('.lane .text')].map(t => t.textContent)"
    outputs = page.run(final)
    assert len(outputs) == 3 and all(outputs)
    page.run("document.getElementById('race-speed').value = '4'")
    began = page.run("(document.getElementById('race-play').click(), performance.now())")
    assert page.run("document.getElementById('race-play').textContent") == "Pause"
    ended = page.run(
        "new Promise(done => { const look = () => document.getElementById('race').dataset.state === 'finished'"
        " ? done(performance.now()) : requestAnimationFrame(look); look(); })"
    )
    assert ended - began >= total_ms / 4 * 0.9
    assert page.run(final) == outputs
    assert page.run("document.querySelector('.lane .place').textContent") == "3rd"
    assert page.problems == []


def test_space_starts_and_pauses_the_race(page: Page) -> None:
    space = "new KeyboardEvent('keydown', {key: ' ', bubbles: true, cancelable: true})"
    state = "document.getElementById('race').dataset.state"
    press = f"(document.querySelector('.lane .text').dispatchEvent({space}), {state})"
    assert [page.run(press), page.run(press)] == ["running", "paused"]
    assert page.problems == []


def test_without_scripts_everything_but_the_browser_is_there(browser: Page, report: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report)
        document = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        found = browser.call("DOM.querySelectorAll", nodeId=document, selector="figure svg, noscript")["nodeIds"]
        assert len(found) == 2 * 8 + 1
        assert browser.problems == []
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
