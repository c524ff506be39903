"""The console shows the summary's figures, and no speedup without its verdict."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.metrics.summary import overall, read_summary
from harness.report.arms_table import accuracy, arms_table, cells, interval
from harness.report.console import closing, json_line, notes, print_summary
from tests.helpers.recorded_run import record


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_summary(record(tmp_path_factory.mktemp("run")))


def printed(summary: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    print_summary(summary, Path("somewhere"), ["baseline", "mtp", "dflash"], console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_row_holds_speed_acceptance_times_and_verdict(summary: dict[str, Any]) -> None:
    rows = {row["arm"]: cells(row) for row in overall(summary)}
    # 12 rounds of 10 ms against 4 rounds of 12 ms: 2.5 times faster.
    assert rows["mtp"][:4] == ["mtp", "3", "247.5", "2.50x"]
    assert rows["mtp"][5:] == ["3.00", "66.7 %", "2.00", "10.00", "6 exact"]
    assert rows["baseline"] == ["baseline", "", "99.0", "1.00x", "", "", "", "", "10.00", "reference"]


def test_a_wide_table_has_the_floor_and_a_slow_baseline_stands_above_it(summary: dict[str, Any]) -> None:
    assert "strength" not in printed(summary)[0]
    floors = {"baseline": (0.5, 0.05, 1.0), "mtp": (1.0, 0.1, 1.5), "dflash": (None, None, None)}
    names = ("floor_ms", "strength", "speedup_at_floor")
    rows = [{**row, **dict(zip(names, floors[row["arm"]], strict=True))} for row in summary["rows"]]
    lines = printed({**summary, "rows": rows})
    assert lines[0].startswith("SLOW BASELINE: plain decoding takes 20.0 times its floor")
    assert lines[0].endswith("at the floor: MTP 1.50x")
    assert lines[1].split()[-5:] == ["floor", "ms", "strength", "at", "floor"]
    assert [line.split()[-3:] for line in lines[2:5]] == [
        ["0.50", "0.050", "1.00x"], ["1.00", "0.10", "1.50x"], ["-", "-", "-"],
    ]  # fmt: skip


def test_arms_stand_in_the_order_asked_for(summary: dict[str, Any]) -> None:
    assert [row["arm"] for row in overall(summary, ["baseline", "mtp", "dflash"])] == ["baseline", "mtp", "dflash"]
    lines = printed(summary)
    assert [line.split()[0] for line in lines[1:4]] == ["baseline", "mtp", "dflash"]
    assert lines[-2].startswith("noise: the baseline's pace at equal lengths varied from ")
    assert lines[-1] == "files: somewhere"


def test_a_doubt_about_the_run_is_said_once(summary: dict[str, Any]) -> None:
    busy = {"code": "busy_machine", "severity": "warning", "message": "others computed", "arm": None}
    rows = [{**row, "guards": ["busy_machine: others computed", *row["guards"]]} for row in summary["rows"]]
    lines = notes({**summary, "rows": rows, "guards": [busy, *summary["guards"]]})
    assert [line for line in lines if "others computed" in line] == ["busy_machine: others computed"]


def test_arms_without_a_clear_difference_are_called_not_distinguishable(summary: dict[str, Any]) -> None:
    [direct] = [line for line in notes(summary) if " against " in line]
    assert direct.endswith("not distinguishable")


def test_doubts_are_printed_below(summary: dict[str, Any]) -> None:
    assert any("few_prompts" in line for line in notes(summary))


@pytest.mark.parametrize(("verdict", "text"), [("mismatch", "6 MISMATCH"), ("tie", "6 tie"), ("none", "6 none")])
def test_every_verdict_is_said(tmp_path: Path, verdict: str, text: str) -> None:
    summary = read_summary(record(tmp_path, verdict=verdict))
    assert {cells(row)[-1] for row in overall(summary) if row["arm"] != "baseline"} == {text}


def test_too_few_prompts_give_no_interval(tmp_path: Path) -> None:
    summary = read_summary(record(tmp_path, prompts=2))
    assert cells(overall(summary, ["mtp"])[0])[4] == "too few prompts"
    assert not any(line.startswith("n.d.") for line in notes(summary))


def test_the_json_line_is_one_line_of_plain_figures(summary: dict[str, Any]) -> None:
    line = json_line(Path("somewhere"), 3, summary, "mismatch")
    assert "\n" not in line
    found = json.loads(line)
    assert (found["run_dir"], found["exit_code"], found["error"]) == ("somewhere", 3, "mismatch")
    assert found["arms"]["mtp"]["acceptance_length"] == 3.0
    assert found["noise"].startswith("the baseline's pace at equal lengths varied")
    assert found["arms"]["mtp"]["num_draft_tokens"] == 3


def test_nothing_decoded_prints_and_parses_too() -> None:
    empty: dict[str, Any] = {"rows": [], "pairs": []}
    assert printed(empty)[-1] == "files: somewhere"
    assert json.loads(json_line(Path("x"), 130, empty))["arms"] == {}


@pytest.mark.parametrize(("scored", "text"), [(6, "50.0 %"), (2, "50.0 % of 2")])
def test_an_accuracy_names_its_number_of_scores_if_some_are_missing(scored: int, text: str) -> None:
    assert accuracy({"accuracy": 0.5, "scored": scored, "generations": 6}) == text


def test_too_few_prompts_are_the_reason_only_below_the_minimum() -> None:
    assert interval({"paired_prompts": 4}) == "too few prompts"
    assert interval({"paired_prompts": 40}) == "no interval"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_cell_is_cut_at_any_width(summary: dict[str, Any], width: int) -> None:
    floors = {"floor_ms": 0.5, "strength": 0.4, "speedup_at_floor": 1.5, "scored": 6, "accuracy": 0.5, "batch_size": 4}
    wide = {**summary, "rows": [{**row, **floors} for row in summary["rows"]]}
    console = Console(file=io.StringIO(), width=width)
    console.print(arms_table(wide, ["baseline", "mtp", "dflash"], width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    rows = [line.split() for line in lines[-3:]]
    assert [row[0] for row in rows] == ["baseline", "mtp", "dflash"]
    assert rows[1][:4] == ["mtp", "3", "247.5", "2.50x"], "k, pace and speedup stand in the narrowest table"
    assert "exact" in lines[-2]


def test_a_wider_terminal_shows_more_columns(summary: dict[str, Any]) -> None:
    counts = [len(arms_table(summary, width=width).columns) for width in (40, 60, 80, 100, 140)]
    assert counts == sorted(counts)
    assert counts[0] == 5 and counts[-1] == 10


def test_controls_are_not_set_against_each_other(summary: dict[str, Any]) -> None:
    pair = {**summary["pairs"][0], "arm": "mtp", "other": "random"}
    assert not [line for line in notes({**summary, "pairs": [pair]}) if " against " in line]
    named = {**summary["pairs"][0], "arm": "mtp", "other": "sure"}
    assert [line for line in notes({**summary, "pairs": [named]}) if "mtp against sure" in line]
    assert not [line for line in notes({**summary, "pairs": [named]}, {"sure": "oracle"}) if " against " in line]


def test_a_doubt_that_arms_share_is_one_line(summary: dict[str, Any]) -> None:
    rows = [{**row, "guards": ["few_prompts: two of them"]} for row in summary["rows"]]
    said = [line for line in notes({**summary, "rows": rows}) if "few_prompts: two" in line]
    assert len(said) == 1 and "mtp" in said[0] and "dflash" in said[0]


def test_the_last_lines_are_the_verdict_the_noise_and_the_page(tmp_path: Path) -> None:
    run_dir = record(tmp_path)
    (run_dir / "report.html").write_text("")
    said, noise, page = closing(read_summary(run_dir), run_dir)
    assert "MTP" in said and said.endswith(".")
    assert noise.startswith("noise: ")
    assert page == f"report: {(run_dir / 'report.html').resolve().as_uri()}"
