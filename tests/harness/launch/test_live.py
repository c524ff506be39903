"""The table of a sweep that runs: what each job does, what it found, and what is left, at every width."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.launch import live
from harness.launch.live import SweepTable, share_of
from harness.launch.state import Job, Sweep
from harness.records import progress as progress_module
from harness.records.progress import RunProgress
from tests.helpers.recorded_run import record


def sweep_of(folder: Path, count: int = 3) -> Sweep:
    return Sweep(folder, [Job(number, [f"num_draft_tokens={2**number}", "x=1"]) for number in range(count)])


def table_of(sweep: Sweep, width: int = 100, height: int = 40, **options: object) -> SweepTable:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    table = SweepTable(sweep, here=True, console=console, **options)  # type: ignore[arg-type]
    table.add(sweep.jobs)
    return table


def text_of(table: SweepTable) -> str:
    table.console.print(table.table())
    return table.console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_row_says_what_its_job_found_does_or_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.time, "monotonic", lambda: 30.0)
    record(tmp_path / "0", k=1)
    table = table_of(sweep_of(tmp_path))
    table.rows[0].job.state, table.rows[0].job.seconds = "running", None
    table.end(0, "done", None, 100.0)
    table.begin(1)
    table.rows[1].share, table.rows[1].started, table.rows[1].doing = 0.25, 0.0, "warm-up of mtp"
    first, *_ = lines = [line.split() for line in text_of(table).splitlines()]
    assert first == ["job", "state", "settings", "speedup", "time"]
    assert lines[1] == ["0", "done", "num_draft_tokens=1", "dflash", "1.67x,", "mtp", "1.67x", "1:40"]
    assert lines[2] == ["1", "25%", "num_draft_tokens=2", "warm-up", "of", "mtp", "0:30"]
    assert lines[3] == ["2", "pending", "num_draft_tokens=4"]
    assert lines[4] == ["1", "of", "3", "jobs,", "42%,", "2:55", "left"], "one and three quarters of 100 s"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_cell_is_cut_at_any_width(width: int, tmp_path: Path) -> None:
    record(tmp_path / "0", k=1)
    table = table_of(sweep_of(tmp_path), width)
    table.end(0, "done", None, 7.0)
    table.end(1, "failed", "RuntimeError: CUDA out of memory", 1.0)
    shown = text_of(table)
    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines())
    assert "num_draft_tokens=4" in shown and "1.67x" in shown and "memory" in shown


def test_more_jobs_than_lines_show_those_that_run(tmp_path: Path) -> None:
    table = table_of(sweep_of(tmp_path, 40), height=16)
    for number in range(20):
        table.rows[number].job.state = "done"
    table.begin(20)
    shown = text_of(table)
    assert "30 more" in shown and "num_draft_tokens=1048576" in shown
    assert len(shown.splitlines()) <= 16


def test_a_run_reports_into_its_row_and_draws_no_bar_of_its_own(tmp_path: Path) -> None:
    table = table_of(sweep_of(tmp_path))
    table.begin(1)
    with progress_module.bars_made_by(table.bar), RunProgress(8) as progress:
        progress.note(["mtp 2.00x"])
        progress.advance(4)
        progress.show("p7 mtp")
    assert (table.rows[1].share, table.rows[1].speedups) == (0.5, "mtp 2.00x")
    assert progress_module._make_bar is None, "as before"


def test_time_left_is_unknown_before_anything_ran_and_counts_jobs_that_a_search_will_ask_for(tmp_path: Path) -> None:
    assert table_of(sweep_of(tmp_path)).line() == "0 of 3 jobs, 0%, time left unknown"
    table = table_of(sweep_of(tmp_path, 1), expected=4)
    table.end(0, "done", None, 10.0)
    assert table.line() == "1 of 4 jobs, 25%, 0:30 left"
    assert table_of(Sweep(tmp_path)).line() == "0 of 0 jobs, 100%"


def test_a_log_gets_a_line_after_each_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tmp_path)
    table = SweepTable(sweep, here=True, console=Console(file=io.StringIO()))
    with table.shown():
        assert live.current is table and table.live is None
        table.add(sweep.jobs)
        table.begin(0)
        table.end(0, "done", None, 10.0)
    assert live.current is None
    assert capsys.readouterr().err == "1 of 3 jobs, 33%, 0:20 left\n"


def test_jobs_of_other_processes_are_read_from_their_folders(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 2)
    run = record(tmp_path / "0")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["prompts"] = {"turns": 12}  # six of them are decoded
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    note = {"state": "running", "pid": 0, "host": "elsewhere"}
    (run / "job.json").write_text(json.dumps(note), encoding="utf-8")
    table = table_of(sweep)
    table.here = False
    table.read()
    assert (table.rows[0].job.state, table.rows[0].share) == ("running", 0.5)
    assert table.rows[1].job.state == "pending"


@pytest.mark.parametrize("content", [None, "", "[]", '{"config": null}', '{"config": {}, "prompts": {"turns": "x"}}'])
def test_the_share_of_a_job_that_has_not_begun_or_is_damaged_is_none(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    assert share_of(tmp_path) == 0.0


def test_a_terminal_that_only_stderr_is_gets_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdout is a pipe, each job's table and JSON line go there."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    table = table_of(sweep_of(tmp_path))
    with table.shown():
        assert table.live is None
