"""A run directory becomes a page, charts and tables: complete, self-contained, and safe with any text."""

from __future__ import annotations

import json
import re
import shutil
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from drafters.errors import InputError
from harness.report import write_report
from harness.report.__main__ import main
from harness.report.charts.palette import light
from harness.vocabulary import ASSETS, PACKAGE, ROOT
from tests.helpers import generated_runs as synthetic

CHARTS = ("speedup", "duel", "acceptance_unconditional", "acceptance_conditional", "time_per_round", "time_per_token")
SECTIONS = ("verdict", "arms", "categories", "acceptance", "time", "prediction", "browser", "ran")


class Reader(HTMLParser):
    """Collects ids in order, tags, and the visible text; void elements need no end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.text += data


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthetic.write_run(tmp_path_factory.mktemp("run"), prompts=15, tokens=40, ties=1)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir: Path) -> str:
    return (run_dir / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run whose records hold markup, formulas and the machine's paths: its folder's parent, and its page."""
    tmp_path = tmp_path_factory.mktemp("odd")
    arms = {"<img src=x onerror=alert(1)>": synthetic.ARMS["mtp"], "$\\frac{1}": synthetic.ARMS["dflash"]}
    where = {"target": {"path": "/home/somebody/models/gemma", "weights_hash": "ab" * 32}}
    folder = synthetic.write_run(
        tmp_path / "run", prompts=6, tokens=20, arms=arms, errors=1,
        manifest={
            "models": {**where, "$\\frac{1}": {"path": str(ASSETS / "mtp")}},
            "command": [
                str(PACKAGE / "__main__.py"), "dataset.path=/home/somebody/my.jsonl", f"hydra.run.dir={tmp_path}/a"
            ],
        },
    )  # fmt: skip
    records = (folder / "generations.jsonl").read_text().replace('"code"', '"</script><b>$x^{"')
    records = records.replace("OutOfMemoryError", "cannot read /home/somebody/cache/x.bin")
    (folder / "generations.jsonl").write_text(records)
    (folder / "summary.json").unlink()
    return tmp_path, write_report(folder).read_text(encoding="utf-8")


def browser_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="browser-data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found.group(1)))


def test_sections_come_in_order_with_the_verdict_first(page: str) -> None:
    ids = [name for name in Reader(page).ids if name in SECTIONS]
    assert ids == list(SECTIONS)


def test_the_first_line_names_target_arms_with_k_and_processor(page: str) -> None:
    line = page[page.index('<p class="eyebrow">') :].partition("</p>")[0]
    assert "synthetic-target · MTP k=4, DFlash k=7 · 15 prompts in 5 categories · greedy" in line
    assert "Imaginary CPU, 1 thread · 2026-01-01" in line


def test_the_contents_list_leads_to_every_section(page: str) -> None:
    contents = page[page.index('<nav class="contents"') : page.index("</nav>")]
    linked = re.findall(r'href="#([\w-]+)"', contents)
    sections = re.findall(r'<section id="([\w-]+)"', page)
    assert linked == sections and len(linked) > 6


def test_a_link_to_the_page_has_title_description_and_card(run_dir: Path, page: str) -> None:
    meta = {a.get("property") or a.get("name"): a.get("content") for tag, a in Reader(page).tags if tag == "meta"}
    title = page[page.index("<title>") + 7 : page.index("</title>")]
    assert meta["og:title"] == title and str(meta["og:description"]).startswith(("MTP", "DFlash"))
    assert [meta[f"og:image{part}"] for part in ("", ":width", ":height")] == ["report/card.png", "1200", "630"]
    header = (run_dir / "report" / "card.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG") and struct.unpack(">II", header[16:]) == (1200, 630)


def test_no_path_of_the_machine_is_on_the_page(odd_page: tuple[Path, str]) -> None:
    above, text = odd_page
    assert "<code>python -m harness dataset.path=my.jsonl</code>" in text
    assert "harness/assets/mtp" in text and "<dd>gemma</dd>" in text and "cannot read x.bin" in text
    assert not [place for place in (str(above), str(ROOT), "/home/somebody") if place in text]


def test_the_noise_stands_below_the_doubts(page: str) -> None:
    header = page[: page.index("</header>")]
    assert "<p class=\"note\">Noise: the baseline" in header
    assert "of 45 generations have doubtful times." in header


def test_a_synthetic_run_says_so_before_anything_else(page: str) -> None:
    text = Reader(page).text
    assert text.index("Nothing here may be quoted") < text.index("Is the output the target’s own?")


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    for tag, attributes in Reader(page).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert "url(http" not in page
    assert "@import" not in page


def test_only_the_page_s_own_script_may_run(page: str) -> None:
    scripts = [attributes for tag, attributes in Reader(page).tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    assert "default-src 'none'" in page
    assert "script-src 'sha256-" in page


def test_a_prompt_with_a_script_stays_text(page: str) -> None:
    assert "<script>window.hacked" not in page
    asked = [prompt["prompt"] for prompt in browser_data(page)["prompts"]]
    assert synthetic.SCRIPT_PROMPT in asked


def test_names_of_arms_categories_and_errors_stay_text(odd_page: tuple[Path, str]) -> None:
    _, text = odd_page
    assert "<img src" not in text
    assert "</script><b>" not in text
    assert "<b>made up</b>" not in text
    assert sum(tag == "img" for tag, _ in Reader(text).tags) == 0


def test_charts_follow_the_reader_s_colours_and_lie_beside_the_page_as_png(run_dir: Path, page: str) -> None:
    for name in (*CHARTS, "predicted", "prompts"):
        assert f'id="chart-{name}"' in page
        assert (run_dir / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 2 * 8, "a wide and a narrow drawing of each"
    assert all("var(--ink)" in svg or "var(--muted)" in svg for svg in svgs)
    assert not any(light("arm-mtp") in svg for svg in svgs)


def test_ids_within_charts_are_unique(page: str) -> None:
    ids = Reader(page).ids
    assert len(ids) == len(set(ids))


def test_the_data_of_every_chart_lies_beside_it_as_csv(run_dir: Path) -> None:
    summary = json.loads((run_dir / "summary.json").read_text())
    table = pd.read_csv(run_dir / "report" / "speedups.csv").set_index(["arm", "category"])
    for row in summary["rows"]:
        if row["arm"] != "baseline":
            assert table.loc[(row["arm"], row["category"]), "speedup_decode"] == pytest.approx(row["speedup_decode"])
    positions = pd.read_csv(run_dir / "report" / "positions.csv")
    whole = positions[(positions["arm"] == "mtp") & (positions["category"] == "all")]
    mtp = next(row for row in summary["rows"] if row["arm"] == "mtp" and row["category"] == "all")
    assert whole["unconditional"].sum() + 1 == pytest.approx(mtp["acceptance_length_raw"])
    times = pd.read_csv(run_dir / "report" / "round_times.csv").set_index("arm")
    assert times.loc["mtp", "draft_ms"] == pytest.approx(mtp["draft_ms"])
    prompts = pd.read_csv(run_dir / "report" / "prompts.csv")
    assert len(prompts) == 15 * 2


@pytest.mark.usefixtures("blank_charts")
def test_a_mismatch_shows_in_headline_table_and_browser(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, prompts=10, tokens=30, mismatches=2)
    text = write_report(folder).read_text(encoding="utf-8")
    assert "DFlash does not reproduce the target’s output" in text
    assert "MISMATCH" in text
    shown = [p for p in browser_data(text)["prompts"] if p["verdict"] == "mismatch"]
    assert len(shown) == 2
    assert "first difference at token" in shown[0]["arms"]["DFlash"]["note"]
    assert "“other ”" in shown[0]["arms"]["DFlash"]["note"]


@pytest.mark.parametrize("arms", [{}, {"mtp": synthetic.ARMS["mtp"]}], ids=["baseline alone", "one drafter"])
@pytest.mark.parametrize("prompts", [1, 6])
def test_small_runs_have_a_report(tmp_path: Path, arms: dict[str, synthetic.ArmShape], prompts: int) -> None:
    folder = synthetic.write_run(tmp_path, prompts=prompts, tokens=12, arms=arms)
    assert "<h1>" in write_report(folder).read_text(encoding="utf-8")


def test_a_run_in_which_everything_failed_has_a_report(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, prompts=4, arms={"mtp": synthetic.ARMS["mtp"]}, errors=4)
    assert "Nothing could be compared" in write_report(folder).read_text(encoding="utf-8")


def test_records_alone_are_enough(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, prompts=6, tokens=20, pieces=False, summary=False)
    for name in ("manifest.json", "prompts.jsonl"):
        (folder / name).unlink()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "kept no token texts" in text
    assert "kept no prompts.jsonl" in text
    assert not (folder / "summary.json").exists()


def test_the_same_run_gives_the_same_report(run_dir: Path, page: str, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / run_dir.name)
    assert write_report(tmp_path / run_dir.name).read_text(encoding="utf-8") == page


@pytest.mark.usefixtures("blank_charts")
def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, prompts=6, tokens=20)
    common = {"target": None, "dataset": None, "batch_size": None, "temperature": None, "context_tokens": None}
    figures = [
        {"label": "Paper <1>", "arm": "mtp", "metric": "speedup", "value": 2.0, "k": 4, "category": "all"},
        {"label": "Blog", "arm": "dflash", "metric": "decode_tok_s", "value": 150.0, "k": 15, "category": "maths"},
        {"label": "Card", "arm": "absent", "metric": "acceptance_length", "value": 5.0, "k": None, "category": "all"},
    ]
    rows = [{**figure, **common, "source": "somewhere", "differs": []} for figure in figures]
    (folder / "published.json").write_text(json.dumps({"name": "made_up", "figures": rows}))
    text = Reader(write_report(folder).read_text(encoding="utf-8")).text
    assert "Paper <1>" in text
    assert "theirs: k 15" in text
    assert "not in this run" in text
    table = pd.read_csv(folder / "report" / "published.csv").set_index("label")
    summary = json.loads((folder / "summary.json").read_text())
    mtp = next(row for row in summary["rows"] if row["arm"] == "mtp" and row["category"] == "all")
    assert table.loc["Paper <1>", "difference"] == pytest.approx(mtp["speedup_decode"] - 2.0)


@pytest.mark.usefixtures("blank_charts")
def test_the_command_rebuilds_every_report_below_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("0", "1"):
        synthetic.write_run(tmp_path / "sweep" / name, prompts=2, tokens=8)
    assert main([str(tmp_path / "sweep")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "sweep" / name / "report.html") for name in ("0", "1")]
    assert main([str(tmp_path)]) == 0
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "expected a run directory" in capsys.readouterr().err


@pytest.mark.usefixtures("blank_charts")
def test_a_page_that_will_be_published_has_its_picture_by_an_absolute_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write_run(tmp_path / "a sweep" / "0", prompts=2, tokens=8)
    assert main([str(tmp_path / "a sweep"), "--url", "https://example.org/runs"]) == 0
    page = (tmp_path / "a sweep" / "0" / "report.html").read_text(encoding="utf-8")
    assert 'property="og:image" content="https://example.org/runs/0/report/card.png"' in page
    capsys.readouterr()
    assert main([str(tmp_path / "a sweep"), "--url", "example.org"]) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert error == "error: --url=example.org: expected an address that begins with https:// or http://"


def test_damaged_records_are_named(tmp_path: Path) -> None:
    (tmp_path / "generations.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"generations\.jsonl:1"):
        write_report(tmp_path)
