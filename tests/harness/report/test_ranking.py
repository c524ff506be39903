"""Who leads a leaderboard: no control, no doubtful arm, and nobody without an interval."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare import main
from harness.report.leaderboard.board import Leaderboard, leaderboard
from harness.report.leaderboard.page import markdown, notes
from harness.report.leaderboard.tables import tables
from harness.report.page.tables import Table
from tests.helpers import generated_runs as synthetic
from tests.helpers.generated_runs import write_at_k


def controls_and(*names: str) -> dict[str, synthetic.ArmShape]:
    return {**{name: synthetic.ARMS[name] for name in names}, **synthetic.CONTROLS}


def title(board: Leaderboard) -> str:
    return markdown(board).splitlines()[0].removeprefix("# Synthetic: ")


def table_named(board: Leaderboard, heading: str) -> Table:
    [found] = [table for name, table, _ in tables(board) if name == heading]
    return found


def test_a_mismatch_is_last_void_and_never_best(tmp_path: Path) -> None:
    write_at_k(tmp_path / "0", 2)
    write_at_k(tmp_path / "1", 4, mismatches=1)
    board = leaderboard([tmp_path])
    assert board.overall.iloc[-1][["run", "arm"]].tolist() == ["1", "dflash"]
    assert "dflash" not in set(board.best[board.best["category"] == "all"]["arm"])
    assert board.pairs.set_index("run").loc["1", "speedup_decode_words"] == "void"
    assert any("does not reproduce" in text for text in notes(board))


def test_controls_never_lead_and_are_not_ranked(tmp_path: Path) -> None:
    # Lookup, too, is faster here than the drafter.
    arms = {**controls_and("mtp"), "lookup": replace(synthetic.ARMS["dflash"], accept=0.99, fade=1.0)}
    synthetic.write_run(tmp_path, prompts=20, tokens=90, arms=arms)
    board = leaderboard([tmp_path])
    assert board.overall["arm"].tolist() == ["mtp", "oracle", "lookup", "random"], "the controls follow"
    assert title(board).startswith("MTP at k = 4 leads with")
    assert [line.label for line in table_named(board, "Leaderboard").lines] == ["MTP"]
    assert len(table_named(board, "Controls, not ranked").lines) == 3


def test_the_kind_makes_a_control_not_the_name(tmp_path: Path) -> None:
    arms = {"mine": replace(synthetic.CONTROLS["oracle"], kind="lookup"), "vllm_baseline": synthetic.ARMS["dflash"]}
    arms["vllm_baseline"] = replace(arms["vllm_baseline"], kind="baseline")
    synthetic.write_run(tmp_path, prompts=10, tokens=30, arms=arms)
    assert title(leaderboard([tmp_path])) == "Only controls ran, which are not ranked"


def test_nothing_leads_without_an_interval(tmp_path: Path) -> None:
    for job, k in enumerate((2, 4)):
        write_at_k(tmp_path / str(job), k, prompts=4)
    board = leaderboard([tmp_path])
    assert title(board) == "Too few prompts to say who leads"
    assert "leads" not in markdown(board).replace("who leads", "") and "as good" not in markdown(board)
    best = table_named(board, "Best k")
    assert {cell.text for line in best.lines for cell in line.cells} == {"too few prompts"}
    assert {cell.tone for line in best.lines for cell in line.cells} == {"quiet"}
    assert main([str(tmp_path)]) == 0
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert 'id="verdict" class="even"' in page and "Ringed" not in page


def test_an_arm_with_an_interval_stands_before_a_faster_one_without(tmp_path: Path) -> None:
    write_at_k(tmp_path / "0", 4, prompts=20, tokens=90)
    write_at_k(tmp_path / "1", 8, prompts=3, tokens=90, arms={"dflash": synthetic.CONTROLS["oracle"]})
    board = leaderboard([tmp_path])
    assert board.overall["run"].tolist() == ["0", "0", "1"]
    assert board.overall["speedup_decode"].idxmax() == 2, "the last one is the fastest"


def test_two_arms_with_overlapping_intervals_share_the_lead(tmp_path: Path) -> None:
    same = {"mtp": synthetic.ARMS["mtp"], "other": synthetic.ARMS["mtp"]}
    synthetic.write_run(tmp_path / "0", prompts=20, arms=same)
    assert title(leaderboard([tmp_path])).endswith("are not distinguishable")
    synthetic.write_run(tmp_path / "1", prompts=20, arms={"other": replace(synthetic.ARMS["mtp"], accept=0.2)})
    assert title(leaderboard([tmp_path])).endswith("are not distinguishable"), "other's best run counts"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (replace(synthetic.ARMS["mtp"], draft_s=0.5), "MTP is slower than plain decoding"),
        (replace(synthetic.ARMS["mtp"], accept=0.1, draft_s=0.0005), "is not distinguishable from plain decoding"),
    ],
)
def test_an_arm_that_is_not_faster_than_plain_decoding_does_not_lead(
    tmp_path: Path, shape: synthetic.ArmShape, words: str
) -> None:
    synthetic.write_run(tmp_path, prompts=5, tokens=60, arms={"mtp": shape})
    assert words in title(leaderboard([tmp_path]))


def test_arms_of_two_engines_are_not_ranked_together(tmp_path: Path) -> None:
    arms = {"mtp": synthetic.ARMS["mtp"], "vllm_mtp": replace(synthetic.ARMS["dflash"], kind="mtp")}
    arms_of_engines = [{"name": name, "kind": "mtp", "engine": "vllm" if name != "mtp" else None} for name in arms]
    synthetic.write_run(tmp_path, prompts=10, tokens=30, arms=arms, manifest={"arms": arms_of_engines})
    board = leaderboard([tmp_path])
    assert "leads" not in title(board)
    assert "Engine harness" in markdown(board) and "Engine vllm" in markdown(board)


def test_a_doubt_about_a_run_or_an_arm_that_may_lead_is_a_warning(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, prompts=10, tokens=30, arms=controls_and("mtp"))
    summary = json.loads((tmp_path / "summary.json").read_text())
    doubt = {"severity": "error", "message": "made up", "category": "all"}
    summary["guards"] = [
        {**doubt, "code": "busy_machine", "severity": "warning", "category": None, "arm": None},
        {**doubt, "code": "acceptance_full", "arm": "mtp"},
        {**doubt, "code": "acceptance_full", "arm": "oracle"},
        {**doubt, "code": "few_prompts", "severity": "warning", "arm": "mtp"},
    ]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    said = [text.partition(": ")[2] for text in notes(leaderboard([tmp_path]))]
    assert said == ["busy_machine: made up", "MTP, acceptance_full: made up"]
