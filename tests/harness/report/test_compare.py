"""Any runs become one leaderboard, with a warning for each difference in their conditions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from drafters.errors import InputError
from harness.compare import main
from harness.report.leaderboard.board import leaderboard
from harness.report.leaderboard.conditions import (
    date_of,
    differences,
    groups,
    hardware_words,
    pace_difference,
    target_words,
)
from harness.report.leaderboard.page import markdown, notes, run_links, write_leaderboard
from harness.report.leaderboard.tables import tables
from harness.vocabulary import ROOT
from tests.helpers import generated_runs as synthetic
from tests.helpers.generated_runs import write_at_k


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jobs 0 to 2 with k = 2, 4, 8 on the same prompts, and a run on other hardware beside them."""
    folder = tmp_path_factory.mktemp("outputs")
    for job, k in enumerate((2, 4, 8)):
        write_at_k(folder / "sweep" / str(job), k)
    hardware = {"device": "cuda:0", "gpu": {"name": "NVIDIA <Other>"}}
    write_at_k(folder / "elsewhere", 4, manifest={"hardware": hardware})
    return folder


def test_every_row_keeps_the_figures_of_its_run(sweep: Path) -> None:
    board = leaderboard([sweep / "sweep"])
    assert [run.label for run in board.runs] == ["0", "1", "2"]
    for run in board.runs:
        for row in run.summary["rows"]:
            if row["arm"] == "baseline":
                continue
            match = (board.rows["run"] == run.label) & (board.rows["arm"] == row["arm"])
            own = board.rows[match & (board.rows["category"] == row["category"])]
            assert own["speedup_decode"].tolist() == [row["speedup_decode"]]
            assert own["acceptance_length"].tolist() == [row["acceptance_length"]]


def test_the_fastest_comes_first(sweep: Path) -> None:
    speedups = leaderboard([sweep / "sweep"]).overall["speedup_decode"].tolist()
    assert speedups == sorted(speedups, reverse=True)
    assert len(speedups) == 6


def test_the_best_k_is_found_per_arm_and_category(sweep: Path) -> None:
    board = leaderboard([sweep / "sweep"])
    assert len(board.best) == 2 * 6
    for row in board.best.to_dict("records"):
        own = board.rows[(board.rows["arm"] == row["arm"]) & (board.rows["category"] == row["category"])]
        fastest = own.loc[own["speedup_decode"].idxmax()]
        assert (row["best_k"], row["speedup_decode"]) == (
            fastest["num_draft_tokens"],
            pytest.approx(fastest["speedup_decode"]),
        )
        assert row["tried"] == "2, 4, 8"


def test_other_k_within_the_interval_are_as_good_and_without_one_all_are(tmp_path: Path, sweep: Path) -> None:
    best = leaderboard([sweep / "sweep"]).best
    row = best[(best["category"] == "all") & (best["arm"] == "mtp")].iloc[0]
    by_k = leaderboard([sweep / "sweep"]).overall.set_index(["arm", "num_draft_tokens"])["speedup_decode"]
    others = {k for k in (2, 4, 8) if k != row["best_k"] and by_k["mtp", k] >= row["speedup_decode_low"]}
    assert {int(k) for k in row["as_good"].split(", ") if k} == others
    for job, k in enumerate((2, 4)):
        write_at_k(tmp_path / str(job), k, prompts=2)
    few = leaderboard([tmp_path]).best
    assert all(few["as_good"] != "")


def test_runs_on_other_hardware_give_a_warning_and_a_group_of_their_own(sweep: Path) -> None:
    board = leaderboard([sweep])
    assert board.groups == ["A", "B"]
    said = [text for text in notes(board) if "hardware" in text]
    assert len(said) == 1
    assert "NVIDIA <Other> (elsewhere)" in said[0]
    assert board.overall["group"].tolist() == ["A"] * 2 + ["B"] * 6
    assert set(board.best["group"]) == {"B"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"target": {"dtype": "bfloat16"}}, "dtype"),
        ({"target": {"attention": "flash"}}, "attention"),
        ({"target": {"execution": "cuda_graph"}}, "execution"),
        ({"prompts": {"rendered_sha256": "99" * 32}}, "prompts"),
        ({"prompts": {"template_sha256": "99" * 32}}, "chat template"),
        ({"prompts": {"thinking": True}}, "thinking"),
        ({"config": {"max_new_tokens": 4096}}, "longest answer"),
        ({"config": {"decoding": {"temperature": 0.7}}}, "decoding"),
        ({"versions": {"torch": "1.0"}}, "versions"),
        ({"models": {"target": {"weights_hash": "99" * 32}}}, "target"),
        ({"git": {"commit": "f" * 40}}, "source"),
    ],
)
def test_each_difference_is_a_warning(sweep: Path, tmp_path: Path, change: dict[str, Any], word: str) -> None:
    shutil.copytree(sweep / "sweep" / "0", tmp_path / "a")
    shutil.copytree(sweep / "sweep" / "1", tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps(overlay(json.loads(path.read_text()), change)))
    board = leaderboard([tmp_path])
    assert [difference.condition.name for difference in board.differences] == [word]
    assert len(board.groups) == (1 if word == "source" else 2)


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    return below | {
        key: overlay(below.get(key) or {}, value) if isinstance(value, dict) else value for key, value in above.items()
    }


def test_a_run_named_twice_counts_once(sweep: Path) -> None:
    assert len(leaderboard([sweep / "sweep" / "0", sweep / "sweep"]).runs) == 3


def test_a_run_that_was_killed_before_its_summary_is_read_from_its_records(tmp_path: Path) -> None:
    write_at_k(tmp_path / "killed", 4, summary=False)
    assert len(leaderboard([tmp_path]).overall) == 2


def test_target_dataset_machine_and_date_are_named_though_all_runs_share_them(sweep: Path, tmp_path: Path) -> None:
    board = leaderboard([sweep / "sweep"])
    assert len(board.groups) == 1
    write_leaderboard(board, tmp_path)
    texts = [(tmp_path / f"leaderboard.{kind}").read_text(encoding="utf-8") for kind in ("md", "html")]
    facts = ("arget synthetic-target · ", "dataset synthetic, 10 prompts", "Imaginary CPU, 1 thread", "2026-01-01")
    assert all(fact in text for fact in facts for text in texts)
    rows = pd.read_csv(tmp_path / "leaderboard.csv")
    assert rows[["target", "dataset", "hardware", "date"]].drop_duplicates().to_numpy().tolist() == [
        ["synthetic-target abababab", "synthetic", "Imaginary CPU, 1 thread", "2026-01-01"]
    ]


def test_each_group_is_named_by_what_it_ran_on(sweep: Path) -> None:
    text = markdown(leaderboard([sweep]))
    assert "Group A: target synthetic-target · " in text and "Group B: target" in text
    assert "machine NVIDIA \\<Other>" in text


def test_a_target_is_named_by_the_configuration_and_compared_by_its_weights(sweep: Path) -> None:
    shared = {"models": {"target": {"path": "/somewhere/target", "weights_hash": "cd" * 32}}}
    by_name = {**shared, "config": {"target": {"name": "embedded_e2b"}}}
    assert target_words(by_name) == "embedded_e2b cdcdcdcd"
    assert target_words({}) == hardware_words({}) == date_of({}) == "unknown"
    assert len({*groups({"a": by_name, "b": shared}).values()}) == 1, "the same weights under another name"
    other = {"models": {"target": {"path": "/somewhere/target", "weights_hash": "ee" * 32}}}
    [difference] = differences({"a": by_name, "b": other})
    assert str(difference) == "different target: embedded_e2b (a); target (b)"
    namesake = {"models": {"target": {"path": "/elsewhere/target", "weights_hash": "ee" * 32}}}
    [difference] = differences({"a": shared, "b": namesake})
    assert str(difference) == "different target: target cdcdcdcd (a); target eeeeeeee (b)", "one name for two things"


def test_a_baseline_whose_pace_differs_between_runs_is_a_warning(tmp_path: Path) -> None:
    for job, pace in enumerate((1.0, 1.05, 1.3)):
        folder = write_at_k(tmp_path / str(job), 4)
        path = folder / "summary.json"
        summary = json.loads(path.read_text())
        for row in summary["rows"]:
            if row["arm"] == "baseline":
                row["decode_tok_s"] = 100.0 * pace
        path.write_text(json.dumps(summary))
    said = [text for text in notes(leaderboard([tmp_path])) if "pace" in text]
    assert len(said) == 1
    assert "100.0 tok/s (0) to 130.0 tok/s (2), 30\N{NO-BREAK SPACE}% apart" in said[0]
    assert [text for text in notes(leaderboard([tmp_path / "0", tmp_path / "1"])) if "pace" in text] == []
    assert pace_difference({}) is None and pace_difference({"a": 100.0, "b": 109.0}) is None


def test_the_command_writes_markdown_csv_and_a_page(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sweep / "sweep"), "--out", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "new" / "leaderboard.md").read_text(encoding="utf-8")
    assert "## Best k" in out
    assert "SYNTHETIC" in out
    csv = pd.read_csv(tmp_path / "new" / "leaderboard.csv", dtype={"run": str})
    assert len(csv) == 3 * 2 * 6
    page = (tmp_path / "new" / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count('<svg class="wide"') == page.count('<svg class="narrow"') == 2
    assert 'property="og:image" content="leaderboard_card.png"' in page
    assert (tmp_path / "new" / "leaderboard_card.png").stat().st_size > 1000
    assert (tmp_path / "new" / "leaderboard_speedup.png").stat().st_size > 1000


def test_runs_with_a_page_are_linked_from_wherever_the_leaderboard_lies(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep / "sweep", tmp_path / "a sweep")
    (tmp_path / "a sweep" / "1" / "report.html").write_text("page")
    board = leaderboard([tmp_path / "a sweep"])
    assert run_links(board, tmp_path / "a sweep") == {"1": "1/report.html"}
    assert run_links(board, tmp_path / "b" / "c") == {"1": "../../a%20sweep/1/report.html"}
    (_, ranking, _), *_ = tables(board, run_links(board, tmp_path))
    assert {(line.cells[-1].text, line.cells[-1].link) for line in ranking.lines} == {
        ("0", ""), ("1", "a%20sweep/1/report.html"), ("2", "")
    }  # fmt: skip


def test_the_page_shows_no_path_of_the_machine(sweep: Path, tmp_path: Path) -> None:
    board = leaderboard([sweep])
    write_leaderboard(board, tmp_path)
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert str(sweep.parent) not in page and str(ROOT) not in page


def test_figures_carry_what_a_script_sorts_by(sweep: Path) -> None:
    (_, ranking, _), *_ = tables(leaderboard([sweep / "sweep"]))
    titles = [name for name, _ in ranking.columns]
    for line in ranking.lines:
        cells = dict(zip(titles, line.cells, strict=True))
        assert cells["Speedup"].text == f"{cells['Speedup'].sort:.2f}×"
        assert cells["Drafts accepted"].text == f"{100 * (cells['Drafts accepted'].sort or 0):.1f}\N{NO-BREAK SPACE}%"
        assert cells["Run"].sort is None and cells["Same output?"].sort is None


def test_by_default_the_files_go_where_all_the_runs_are(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep / "sweep" / "0"), str(sweep / "elsewhere")]) == 0
    assert (sweep / "leaderboard.csv").exists()
    assert "warning: different hardware" in capsys.readouterr().err


def test_a_folder_without_a_run_is_one_clear_line_and_exit_code_2(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sweep / "sweep"), str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error == [
        f"error: {tmp_path}: no generations.jsonl or summary.json in it or below, "
        "expected a run directory or a sweep of them"
    ]


def test_a_damaged_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary\.json is damaged, and there is no"):
        leaderboard([tmp_path])


def test_names_do_not_break_the_markdown_table(tmp_path: Path) -> None:
    arms = {"a|b": synthetic.ARMS["mtp"], "<b>*x*": synthetic.ARMS["dflash"]}
    synthetic.write_run(tmp_path, prompts=6, tokens=20, arms=arms)
    board = leaderboard([tmp_path])
    text = markdown(board)
    assert "a\\|b" in text
    assert "<b>" not in text.replace("\\<b>", "")
    (_, table, _), *_ = tables(board)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == len(table.columns) + 2 for line in lines[:4])
