"""Runs of several batch sizes: the trade-off of throughput and pace, and the speedup by k and batch size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.metrics.summary import read_summary
from harness.report.charts.drawing import drawing
from harness.report.leaderboard.batches import batch_table, operating_points, pareto_charts
from harness.report.leaderboard.board import Leaderboard, leaderboard
from tests.helpers import generated_runs as synthetic


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jobs with k = 2, 4 and batch sizes 1, 4."""
    folder = tmp_path_factory.mktemp("sweep")
    for job, (k, batch) in enumerate([(2, 1), (2, 4), (4, 1), (4, 4)]):
        arms = {"mtp": replace(synthetic.ARMS["mtp"], k=k), "random": synthetic.CONTROLS["random"]}
        synthetic.write_run(
            folder / str(job), prompts=6, tokens=30, arms=arms, batch_size=batch, measured=True, seed=job
        )
    return folder


@pytest.fixture(scope="module")
def board(sweep: Path) -> Leaderboard:
    return leaderboard([sweep])


def test_every_setting_is_a_point_with_its_run_s_figures(board: Leaderboard, sweep: Path) -> None:
    points = operating_points(board).set_index(["arm", "num_draft_tokens", "batch_size"])
    assert sorted(points.index) == [
        ("baseline", 0, 1), ("baseline", 0, 4), ("mtp", 2, 1), ("mtp", 2, 4), ("mtp", 4, 1), ("mtp", 4, 4)
    ]  # fmt: skip
    [row] = [r for r in read_summary(sweep / "1")["rows"] if r["arm"] == "mtp" and r["category"] == "all"]
    assert points.loc[("mtp", 2, 4), "throughput_tok_s"] == pytest.approx(row["throughput_tok_s"])
    assert points.loc[("mtp", 2, 4), "decode_tok_s"] == pytest.approx(row["decode_tok_s"])


def test_the_map_has_a_line_per_k_and_a_column_per_batch_size(board: Leaderboard) -> None:
    table = batch_table(board)
    assert [title for title, _ in table.columns] == ["Batch 1", "Batch 4"]
    assert [(line.label, line.mark) for line in table.lines] == [("MTP", "k = 2"), ("MTP", "k = 4")]
    own = board.overall[(board.overall["arm"] == "mtp")].set_index(["num_draft_tokens", "batch_size"])["speedup_decode"]
    assert [[cell.text for cell in line.cells] for line in table.lines] == [
        [f"{own[k, size]:.2f}×" for size in (1, 4)] for k in (2, 4)
    ]
    assert sum(cell.tone == "best" for line in table.lines for cell in line.cells) == 1


def test_a_setting_that_was_not_tried_or_has_no_interval_makes_no_claim(tmp_path: Path) -> None:
    for job, (k, batch) in enumerate([(2, 1), (4, 4)]):
        arms = {"mtp": replace(synthetic.ARMS["mtp"], k=k)}
        synthetic.write_run(tmp_path / str(job), prompts=2, tokens=20, arms=arms, batch_size=batch, measured=True)
    cells = [cell for line in batch_table(leaderboard([tmp_path])).lines for cell in line.cells]
    assert [cell.text == "–" for cell in cells] == [False, True, True, False]
    assert {cell.heat for cell in cells} == {None} and {cell.tone for cell in cells} == {""}


def test_the_chart_names_the_frontier(board: Leaderboard) -> None:
    with drawing(synthetic=True):
        [chart] = pareto_charts(board).values()
    assert chart.values == 6
    assert "MTP, k=4, batch 4: " in chart.svg and ", on the frontier</title>" in chart.svg
    assert chart.title.startswith("Synthetic: ")


def test_one_batch_size_has_neither_map_nor_chart(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, prompts=6, tokens=20, measured=True)
    board = leaderboard([tmp_path])
    assert batch_table(board).lines == () and pareto_charts(board) == {} and operating_points(board).empty
