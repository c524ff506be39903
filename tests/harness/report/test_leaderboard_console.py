"""The leaderboard on a terminal: as many columns as fit, no cell cut, each warning once; Markdown in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.report.leaderboard.board import Leaderboard, leaderboard
from harness.report.leaderboard.console import files_line, show_board
from harness.report.leaderboard.page import markdown, notes
from tests.helpers.generated_runs import write_at_k


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """Two k on one machine, and a run on another."""
    folder = tmp_path_factory.mktemp("outputs")
    for job, k in enumerate((2, 8)):
        write_at_k(folder / "sweep" / str(job), k)
    write_at_k(folder / "elsewhere", 4, manifest={"hardware": {"device": "cuda:0", "gpu": {"name": "NVIDIA Other"}}})
    return leaderboard([folder])


def on_terminal(board: Leaderboard, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    show_board(board, console=console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_cell_is_cut_and_no_line_is_wider_than_the_terminal(board: Leaderboard, width: int) -> None:
    lines = on_terminal(board, width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line or "|" in line for line in lines)
    shown = " ".join(" ".join(lines).split())
    assert "Speedup" in shown and "k = 8" in shown and "output?" in shown


def test_a_wider_terminal_has_more_columns(board: Leaderboard) -> None:
    narrow, wide = " ".join(on_terminal(board, 60)), " ".join(on_terminal(board, 140))
    assert "accepted" in wide and "accepted" not in narrow


def test_each_warning_is_said_once(board: Leaderboard, capsys: pytest.CaptureFixture[str]) -> None:
    lines = on_terminal(board, 500)
    assert notes(board)
    for text in notes(board):
        assert sum(line.startswith("warning: ") and text[:30] in line for line in lines) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("terminal", "asked"), [(False, False), (True, True)])
def test_a_pipe_gets_markdown_and_so_does_who_asks_for_it(
    board: Leaderboard, terminal: bool, asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_board(board, as_markdown=asked, console=Console(file=io.StringIO(), force_terminal=terminal))
    said = capsys.readouterr()
    assert said.out == markdown(board)
    assert said.err.splitlines() == [f"warning: {text}" for text in notes(board)]


def test_a_log_names_every_file() -> None:
    paths = [Path("a/leaderboard.md"), Path("a/leaderboard.html")]
    assert files_line(paths) == "files: a/leaderboard.md, a/leaderboard.html"
