"""Damage to files derived from sound journals costs a warning, and no figure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from drafters.errors import InputError
from harness import compare, upload
from harness.comparison import manifest
from harness.config import read_config
from harness.metrics.summary import read_summary
from harness.records.frames import read_generations, read_rounds, write_rounds
from harness.records.journal_files import read_lines
from harness.records.prompts import read_prompts, write_prompts
from harness.report.leaderboard.board import leaderboard
from harness.report.page.data import read_run
from harness.tasks.prompts import Prompt
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers.recorded_run import K, record
from tests.helpers.wandb_file import read_back


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = record(tmp_path_factory.mktemp("recorded") / "run")
    write_prompts(folder, [Prompt(f"p{index}", "even", (f"question {index}",)) for index in range(6)])
    return folder


@pytest.fixture
def run_dir(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def another_shape(path: Path) -> None:
    path.write_text("[1, 2]")


DAMAGES: list[Callable[[Path], None]] = [halve, empty, zero, another_shape]
FILES = ("rounds.parquet", "manifest.json", "summary.json", "run_key.json")


def figures(summary: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("arm", "category", "generations", "acceptance_length", "speedup_decode", "verdict_exact", "guards")
    return [tuple(str(row[name]) for name in names) for row in summary["rows"]]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_report_and_compare_give_the_figures_of_the_journals(
    run_dir: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Callable[[Path], None]
) -> None:
    whole = read_run(run_dir)
    if name == "run_key.json":  # read where there is no summary yet
        (run_dir / "summary.json").unlink()
    damage(run_dir / name)
    again = read_run(run_dir)
    assert figures(again.summary) == figures(whole.summary)
    assert {(one.arm, one.kind, one.num_draft_tokens) for one in again.series} == {
        (one.arm, one.kind, one.num_draft_tokens) for one in whole.series
    }
    pd.testing.assert_frame_equal(again.rounds, whole.rounds, check_dtype=False, check_categorical=False)
    assert len(leaderboard([run_dir]).overall) == 2
    warnings = capsys.readouterr().err
    assert f"warning: {run_dir / name} is damaged" in warnings
    assert all(line.startswith("warning: ") for line in warnings.splitlines())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_parquet_file_is_rewritten(run_dir: Path, damage: Callable[[Path], None]) -> None:
    whole = pd.read_parquet(run_dir / "rounds.parquet")
    damage(run_dir / "rounds.parquet")
    write_rounds(run_dir)
    pd.testing.assert_frame_equal(pd.read_parquet(run_dir / "rounds.parquet"), whole)


def test_a_single_changed_byte_of_the_rounds_is_noticed(run_dir: Path) -> None:
    whole = read_rounds(run_dir)
    path = run_dir / "rounds.parquet"
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 16):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        pd.testing.assert_frame_equal(read_rounds(run_dir), whole, check_dtype=False, check_categorical=False)


def test_without_its_journal_a_damaged_parquet_file_is_named(run_dir: Path) -> None:
    (run_dir / "rounds.jsonl").unlink()
    assert len(read_rounds(run_dir)) == 6 * 20
    halve(run_dir / "rounds.parquet")
    with pytest.raises(InputError, match=r"rounds\.parquet is damaged .* no rounds\.jsonl to restore it from"):
        read_rounds(run_dir)


def test_a_damaged_summary_without_journals_is_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("generations.jsonl", "rounds.jsonl"):
        (run_dir / name).unlink()
    assert len(leaderboard([run_dir]).overall) == 2, "a summary may be passed on alone"
    halve(run_dir / "summary.json")
    assert compare.main([str(run_dir)]) == EXIT_BAD_INPUT
    assert "there is no generations.jsonl to restore it from" in capsys.readouterr().err


def test_a_summary_older_than_its_journals_is_not_used(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As after a killed continuation: the summary covers the first attempt only."""
    lines = (run_dir / "generations.jsonl").read_text().splitlines(keepends=True)
    row = {**json.loads(lines[-1]), "prompt_id": "one more", "commit": "0123456789ab"}
    (run_dir / "generations.jsonl").write_text("".join(lines) + json.dumps(row) + "\n")
    assert sum(row["generations"] for row in read_summary(run_dir)["rows"] if row["category"] == "all") == 19
    assert "summary.json is older than the journals" in capsys.readouterr().err


def test_upload_sends_recomputed_figures(run_dir: Path) -> None:
    for name in ("rounds.parquet", "manifest.json", "summary.json"):
        halve(run_dir / name)
    assert upload.main([str(run_dir), "--mode", "offline"]) == EXIT_OK
    [written] = read_back(run_dir)
    assert written.summary["mtp/acceptance_length"] == 3.0
    assert pd.read_parquet(run_dir / "rounds.parquet")["drafted"].max() == K


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_continued_run_rewrites_its_manifest(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(manifest, "hardware", lambda _: {})
    damage(run_dir / "manifest.json")
    config = read_config({"target": {"path": "nowhere"}, "dataset": {"path": "nowhere.jsonl"}})
    about: dict[str, Any] = {"models": {}, "arms": [], "prompts": {}, "target": {}, "threads": {}, "command": []}
    for attempts in (1, 2):
        written = manifest.write_manifest(
            run_dir, config=config, run_key="0123", device=torch.device("cpu"), **about
        )
        assert len(written["attempts"]) == attempts
    assert "manifest.json is damaged" in capsys.readouterr().err


def test_lost_prompts_are_reported(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_dir / "prompts.jsonl"
    halve(path)
    assert [*read_prompts(run_dir)] == [*read_run(run_dir).prompts] == ["p0", "p1", "p2"]
    assert f"{path} lacks 3 of the run's prompts" in capsys.readouterr().err, "cut between two lines"
    path.write_bytes(path.read_bytes() + b'{"prompt_id": "p3", "turns"')
    assert [*read_prompts(run_dir)] == ["p0", "p1", "p2"]
    assert "prompts.jsonl is damaged, 1 of its prompts cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["generations.jsonl", "rounds.jsonl"])
def test_a_line_of_nul_bytes_loses_its_own_record_alone(
    run_dir: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    lines = (run_dir / name).read_bytes().splitlines(keepends=True)
    kept = list(read_lines(run_dir / name))
    lines[1] = b"\0" * (len(lines[1]) - 1) + b"\n"
    (run_dir / name).write_bytes(b"".join(lines))
    assert list(read_lines(run_dir / name)) == [kept[0], *kept[2:]]
    assert f"{name}:2: the line holds NUL bytes only" in capsys.readouterr().err
    assert len(read_generations(run_dir)) == len(kept) - (name == "generations.jsonl")


@pytest.mark.parametrize("raw", [b"\0\0\0{}\n", b"\xff\xfe{\0}\0\n", b'{"arm"\n'])
def test_a_damaged_line_is_reported_with_a_fitting_reason(run_dir: Path, raw: bytes) -> None:
    path = run_dir / "generations.jsonl"
    path.write_bytes(raw + path.read_bytes())
    with pytest.raises(InputError, match=r"generations\.jsonl:1: expected a JSON object") as refusal:
        read_generations(run_dir)
    assert "utf-32" not in str(refusal.value) and "utf-16" not in str(refusal.value)


def test_a_line_without_a_key_is_an_input_error(run_dir: Path) -> None:
    path = run_dir / "generations.jsonl"
    path.write_bytes(b'{"status": "ok"}\n' + path.read_bytes())
    with pytest.raises(InputError, match="expected prompt_id and arm"):
        read_generations(run_dir)
