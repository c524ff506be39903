"""The race as a picture: whole XML, the records' times, the final state without motion, and what it must say itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from drafters.errors import InputError
from harness.launch.race import main
from harness.report.page.data import RunData, read_run
from harness.report.page.race import Lane
from harness.report.page.race_picture import HOLD_S, MAX_BYTES, draw_race, slowed
from harness.report.page.race_steps import CELLS, MAX_STEPS, Step, lay_out, steps_of
from harness.report.page.runners import Race, find_race
from harness.vocabulary import EXIT_BAD_INPUT
from tests.helpers import generated_runs as synthetic

SVG = "{http://www.w3.org/2000/svg}"
MOTION = "@media (prefers-reduced-motion:no-preference){"
PATHS = r"/(?:home|root|tmp|work|Users)/[^\"<\s]*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = {"created": "2026-01-31T12:00:00", "hardware": {"cpu": "Made-up 9000", "torch_threads": 2}}
    return synthetic.write_run(tmp_path_factory.mktemp("run"), prompts=3, tokens=30, manifest=manifest)


@pytest.fixture(scope="module")
def run(folder: Path) -> RunData:
    return read_run(folder)


@pytest.fixture(scope="module")
def race(run: RunData) -> Race:
    return find_race(run)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def loop_seconds(svg: str) -> float:
    (found,) = re.findall(r"animation-duration:([\d.]+)s", svg)
    return float(found)


def finishes(svg: str) -> list[float]:
    """Seconds of the loop at which each lane's place appears, and its bar is full."""
    places = re.findall(r"@keyframes p\d+\{0%\{opacity:0\}([\d.]+)%\{opacity:1\}", svg)
    bars = re.findall(r"@keyframes b\d+\{.*?([\d.]+)%\{transform:scaleX\(1\.0000\)\}", svg)
    assert places == bars
    return [float(percent) / 100 * loop_seconds(svg) for percent in places]


@pytest.mark.parametrize("pace", [None, 1.0, 0.25, 3.0])
def test_each_lane_takes_the_recorded_seconds_divided_by_the_pace(run: RunData, race: Race, pace: float | None) -> None:
    svg = draw_race(run, race, pace)
    factor = slowed(race) if pace is None else pace
    assert f"shown at {factor:g}x of the measured pace" in svg
    records = run.generations.set_index(["prompt_id", "arm"])
    for arm, shown_s in zip(("baseline", "mtp", "dflash"), finishes(svg), strict=True):
        record = records.loc[(race.prompt_id, arm)]
        assert shown_s * factor == pytest.approx(record["prefill_s"] + record["decode_s"], rel=0.01)
    assert loop_seconds(svg) == pytest.approx(race.end_s / factor + HOLD_S, rel=1e-3)


def test_the_picture_is_xml_without_script_or_request(run: RunData, race: Race) -> None:
    svg = draw_race(run, race)
    names = {element.tag.removeprefix(SVG) for element in parsed(svg).iter()}
    assert names == {"svg", "title", "desc", "style", "clipPath", "rect", "text", "tspan", "g", "path"}
    assert re.findall(r"(?:href|src|@import|url\((?!#))", svg) == []
    assert len(svg.encode()) < MAX_BYTES


def test_without_motion_the_final_state_stands(run: RunData, race: Race) -> None:
    svg = draw_race(run, race)
    style = parsed(svg).findtext(f"{SVG}style") or ""
    still, _, moving = style.partition(MOTION)
    assert "animation" in moving
    assert not re.search(r"animation|keyframes|opacity|transform", still), "nothing is hidden or moved but by motion"
    shown = [chunk.text or "" for chunk in parsed(svg).iterfind(f".//{SVG}g[@class='out']//{SVG}text")]
    for runner in race.runners:
        output = runner.first + "".join(one[0] + one[1] for one in runner.rounds)
        assert "".join(output.split()) in "".join("".join(shown).split())
    for counter in re.findall(r'style="transform:translateY\((-\d+)px\)">(<text class="small".*?)</g>', svg):
        rows = re.findall(r'y="(\d+)">([^<]*)</text>', counter[1])
        assert int(rows[-1][0]) + int(counter[0]) == int(rows[0][0]), "the last count lies where the first began"


def test_it_says_machine_date_and_that_a_run_is_synthetic(run: RunData, race: Race) -> None:
    svg = draw_race(run, race)
    assert "Made-up 9000, 2 threads · 2026-01-31" in svg
    assert "Synthetic:" in svg


def test_it_says_that_tokens_differ_and_that_round_times_were_shared_out(run: RunData, race: Race) -> None:
    first, *others = race.runners
    wrong = replace(others[0], verdict="mismatch", lane=replace(others[0].lane, measured=False))
    svg = draw_race(run, replace(race, runners=(first, wrong)))
    assert "MTP: its tokens differ from the target's, its time does not count." in svg
    assert "Round times not recorded, shared out evenly: MTP." in svg


def test_texts_are_escaped_and_paths_of_the_machine_left_out(run: RunData, race: Race) -> None:
    manifest = {**run.manifest, "hardware": {"cpu": "/home/someone/secret/cpu", "torch_threads": 2}}
    hostile = tuple(replace(one, first="</text><script>&\x00\ud800") for one in race.runners)
    svg = draw_race(
        replace(run, manifest=manifest), replace(race, prompt_id="<a&b>", prompt="</svg>\x07", runners=hostile)
    )
    assert f"{SVG}script" not in {element.tag for element in parsed(svg).iter()}
    assert re.findall(PATHS, svg) == []


def test_a_long_output_joins_rounds_and_scrolls_and_one_too_long_is_refused(run: RunData, race: Race) -> None:
    def longer(tokens: int) -> Race:
        rounds = [["", "words ", 0, 0, 1]] * tokens
        return replace(
            race, runners=tuple(replace(one, lane=Lane(0.1, (0.01,) * tokens), rounds=rounds) for one in race.runners)
        )

    race_of_1000 = longer(1000)
    assert len(steps_of(race_of_1000.runners[0])) <= MAX_STEPS + 1
    assert steps_of(race_of_1000.runners[0])[-1].tokens == 1001
    assert finishes(draw_race(run, race_of_1000, 1.0)) == pytest.approx([10.1] * 3, rel=0.01)
    with pytest.raises(InputError, match=r"expected at most 300: name a prompt"):
        draw_race(run, longer(20_000), 1.0)


def test_a_picture_that_lasts_for_hours_is_refused(run: RunData, race: Race) -> None:
    with pytest.raises(InputError, match="--speed 1e-06"):
        draw_race(run, race, 1e-6)


@given(st.lists(st.tuples(st.text("ab \n海\t", max_size=50), st.booleans()), max_size=8))
def test_laid_out_text_is_whole_and_inside_its_line(pieces: list[tuple[str, bool]]) -> None:
    chunks = [chunk for own in lay_out([Step(0.0, (piece,), 1, 0, 0) for piece in pieces]) for chunk in own]
    assert "".join("".join(one.text for one in chunks).split()) == "".join("".join(t for t, _ in pieces).split())
    assert all(one.column + cell_len(one.text.rstrip()) <= CELLS for one in chunks)
    assert list(overlaps([(one.line, one.column, one.cells) for one in chunks])) == []


def overlaps(found: list[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    ends: dict[int, int] = {}
    for line, column, cells in found:
        if column < ends.get(line, 0):
            yield line, column
        ends[line] = column + cells


def test_words_are_kept_whole_where_they_fit() -> None:
    (chunks,) = lay_out([Step(0.0, (("one two three", False),), 1, 0, 0)], cells=8)
    assert [(one.line, one.column, one.text) for one in chunks] == [(0, 0, "one two "), (1, 0, "three")]


def test_the_command_writes_the_picture(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "race.svg"
    assert main([str(folder), "--svg", str(place), "--prompt", "code-000", "--speed", "0.5"]) == 0
    assert "shown at 0.5x" in place.read_text(encoding="utf-8")
    assert "code-000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "said"),
    [(["--prompt", "code-99"], "--prompt code-99: no such prompt"), (["--speed", "0"], "--speed 0: expected")],
)
def test_bad_input_is_one_line(
    folder: Path, tmp_path: Path, extra: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--svg", str(tmp_path / "race.svg"), *extra]) == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "race.svg").exists()


def test_a_folder_that_is_not_there_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--svg", str(tmp_path / "gone" / "race.svg")]) == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such folder" in line


def test_the_readmes_picture_is_small_whole_and_names_no_path_of_a_machine() -> None:
    svg = (Path(__file__).resolve().parents[3] / "docs/images/race.svg").read_text(encoding="utf-8")
    assert len(svg.encode()) < MAX_BYTES
    assert len(finishes(svg)) == 3
    assert parsed(svg).tag == f"{SVG}svg"
    assert re.findall(PATHS, svg) == []


def test_the_page_honours_reduced_motion() -> None:
    templates = Path(__file__).resolve().parents[3] / "harness/report/templates"
    script, style = ((templates / name).read_text(encoding="utf-8") for name in ("race.js", "style.css"))
    assert 'matchMedia("(prefers-reduced-motion: reduce)")' in script
    assert "advance(!still.matches)" in script, "nothing flashes"
    for animation in re.finditer(r"[\w .]+\{[^}]*animation:", style):
        before = style[: animation.start()].rpartition("@media")[2]
        assert before.startswith(" (prefers-reduced-motion:no-preference)"), animation[0]
