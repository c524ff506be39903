"""A run directory, cut off anywhere, holds every committed generation once and can be continued."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.records.files import GENERATIONS, ROUNDS_JOURNAL, replace_file
from harness.records.frames import ROUND_COLUMNS, generations_frame, read_generations, read_rounds, write_rounds
from harness.records.journal import GenerationKey, GenerationRow, Journal
from harness.records.journal_files import read_lines
from harness.records.rounds import Round

IDENTITY = {"config": {"seed": 0}, "checkpoints": {}}


def rounds(*emitted: int, k: int = 4) -> list[Round]:
    return [Round(i, 10 * i, k, min(k, e), e, 0.001, 0.002, 0.0005) for i, e in enumerate(emitted)]


def row(prompt_id: str, arm: str = "mtp", tokens: int = 6, **fields: Any) -> GenerationRow:
    return GenerationRow(prompt_id, arm, token_ids=list(range(tokens)), num_draft_tokens=4, **fields)


def fill(folder: Path, *prompts: str) -> None:
    with Journal(folder, IDENTITY) as journal:
        for prompt_id in prompts:
            journal.append(row(prompt_id), rounds(3, 2))


def test_written_records_are_read_back(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        journal.append(row("p", category="code", verdict="tie", verdict_detail={"gap": 0.1}), rounds(3, 2))
        journal.append(row("p", "baseline", repeat=1, turn=2), rounds(1, 1, 1, 1, 1, k=0))
    generations, read = read_generations(tmp_path), read_rounds(tmp_path)
    assert generations["new_tokens"].tolist() == [6, 6]
    assert generations.loc[0, "verdict_detail"] == {"gap": 0.1}
    assert tuple(read.columns) == ROUND_COLUMNS
    assert read["emitted"].tolist() == [3, 2, 1, 1, 1, 1, 1]
    assert read[["turn", "repeat"]].values.tolist() == [[0, 0]] * 2 + [[2, 1]] * 5
    assert read["position"].tolist() == [0, 10, 0, 10, 20, 30, 40]
    assert read["other_s"].unique().tolist() == [0.0005]


def test_a_second_opening_knows_the_finished_generations(tmp_path: Path) -> None:
    fill(tmp_path, "p", "q")
    with Journal(tmp_path, IDENTITY) as journal:
        assert {*journal.rows} == {GenerationKey("p", 0, "mtp", 0), GenerationKey("q", 0, "mtp", 0)}
        assert journal.rows[GenerationKey("p", 0, "mtp", 0)]["token_ids"] == [0, 1, 2, 3, 4, 5]
        journal.append(row("r"), rounds(5))
    assert read_generations(tmp_path)["prompt_id"].tolist() == ["p", "q", "r"]


@pytest.mark.parametrize("name", [GENERATIONS, ROUNDS_JOURNAL])
def test_a_torn_last_line_is_skipped_then_cut_off(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "p", "q")
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"prompt_id": "r", "turn": 0, "token_i')
    assert read_generations(tmp_path)["prompt_id"].tolist() == ["p", "q"]
    assert len(read_rounds(tmp_path)) == 4
    fill(tmp_path, "r")
    assert path.read_bytes().startswith(whole)
    assert read_generations(tmp_path)["prompt_id"].tolist() == ["p", "q", "r"]
    assert len(read_rounds(tmp_path)) == 6


def test_cut_at_every_byte_no_generation_is_half_there(tmp_path: Path) -> None:
    fill(tmp_path / "whole", "p", "q", "r")
    lines = (tmp_path / "whole" / GENERATIONS).read_bytes()
    journalled = (tmp_path / "whole" / ROUNDS_JOURNAL).read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / ROUNDS_JOURNAL).write_bytes(journalled)
    for length in range(0, len(lines), 37):
        (cut / GENERATIONS).write_bytes(lines[:length])
        complete = lines[:length].count(b"\n")
        assert read_generations(cut)["prompt_id"].tolist() == ["p", "q", "r"][:complete]
        assert len(read_rounds(cut)) == 2 * complete


def test_rounds_without_a_committed_generation_are_skipped(tmp_path: Path) -> None:
    fill(tmp_path, "p", "q")
    path = tmp_path / GENERATIONS
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert read_rounds(tmp_path)["prompt_id"].unique().tolist() == ["p"]
    with Journal(tmp_path, IDENTITY) as journal:
        assert len(journal.rows) == 1
        journal.append(row("q", tokens=3), rounds(2))
    read = read_rounds(tmp_path)
    assert read.loc[read["prompt_id"] == "q", "emitted"].tolist() == [2]


def test_an_error_is_a_row_and_may_be_tried_again(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        journal.append(GenerationRow("p", "mtp", status="error", error="out of memory"))
        assert [row["status"] for row in journal.rows.values()] == ["error"]
        journal.append(row("p"), rounds(3, 2))
    generations = read_generations(tmp_path)
    assert generations[["status", "error"]].values.tolist() == [["ok", None]]
    assert len(read_rounds(tmp_path)) == 2


def test_a_batch_is_committed_together(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        journal.append_all([(row("p"), rounds(3, 2)), (row("p", "baseline", tokens=2), rounds(1, k=0))])
    assert read_generations(tmp_path)["arm"].tolist() == ["mtp", "baseline"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "p", "q")
    path = tmp_path / GENERATIONS
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:-5] + b"\n" + second)
    with pytest.raises(InputError, match=r"generations\.jsonl:1: expected a JSON object"):
        read_generations(tmp_path)
    path.write_bytes(b"[1]\n" + second)
    with pytest.raises(InputError, match=r":1: expected a JSON object, got list"):
        Journal(tmp_path, IDENTITY)


def test_another_configuration_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    fill(tmp_path, "p")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"differs in config\.seed: 0 -> 1"):
        Journal(tmp_path, {"config": {"seed": 1}, "checkpoints": {}})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_writers_in_one_directory_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY), pytest.raises(InputError, match="another process is writing"):
        Journal(tmp_path, IDENTITY)
    with Journal(tmp_path, IDENTITY) as journal:
        assert journal.rows == {}


def test_rounds_must_account_for_the_tokens(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        with pytest.raises(ValueError, match="6 token_ids, expected 4"):
            journal.append(row("p"), rounds(3))
        assert journal.rows == {}
    assert len(read_generations(tmp_path)) == 0


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "p")
    before = (tmp_path / GENERATIONS).read_bytes()
    with Journal(tmp_path, IDENTITY) as journal:

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                journal.append(row("q"), rounds(3, 2))
        journal.append(row("r"), rounds(3, 2))
    assert (tmp_path / GENERATIONS).read_bytes().startswith(before)
    assert read_generations(tmp_path)["prompt_id"].tolist() == ["p", "r"]
    assert read_rounds(tmp_path)["prompt_id"].unique().tolist() == ["p", "r"]


def test_any_text_survives(tmp_path: Path) -> None:
    text = "newline\n, line separator\u2028, emoji \U0001f600, <script>, half a surrogate "
    with Journal(tmp_path, IDENTITY) as journal:
        journal.append(row("p", text=text + "\ud83d"), rounds(3, 2))
    assert read_generations(tmp_path).loc[0, "text"] == text + "?"
    with pytest.raises(ValueError, match="half a surrogate pair"):
        row("p\ud83d")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "done"}, "status='done'"),
        ({"verdict": "equal"}, "verdict='equal'"),
        ({"token_ids": []}, "no token_ids"),
        ({"prompt_id": 3}, "expected two strings"),
    ],
)
def test_an_impossible_row_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerationRow(**{"prompt_id": "p", "arm": "mtp", "token_ids": [1], **fields})


def test_parquet_is_written_once_and_again_after_a_continued_run(tmp_path: Path) -> None:
    fill(tmp_path, "p")
    path = write_rounds(tmp_path)
    stamp = path.stat().st_mtime_ns
    write_rounds(tmp_path)
    assert path.stat().st_mtime_ns == stamp
    fill(tmp_path, "q")
    assert len(read_rounds(tmp_path)) == 4, "an old Parquet file must not hide newer rounds"
    write_rounds(tmp_path)
    (tmp_path / ROUNDS_JOURNAL).unlink()
    assert len(read_rounds(tmp_path)) == 4, "without its journal the Parquet file is the record"


def test_an_empty_run_has_empty_tables(tmp_path: Path) -> None:
    fill(tmp_path)
    write_rounds(tmp_path)
    assert tuple(read_rounds(tmp_path).columns) == ROUND_COLUMNS
    assert len(read_rounds(tmp_path)) == len(read_generations(tmp_path)) == 0


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    replace_file(path, "old")

    def killed(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def write_prompts(folder: Path, prompts: int) -> None:
    """A run in a process of its own."""
    with Journal(folder, IDENTITY) as journal:
        for index in range(prompts):
            if GenerationKey(f"p{index}", 0, "mtp", 0) not in journal.rows:
                done = GenerationRow(f"p{index}", "mtp", token_ids=[index] * 201, text="x" * 5000, num_draft_tokens=4)
                journal.append(done, [Round(i, i, 4, 4, 5, 0.1, 0.1, 0.1) for i in range(40)])


def test_killed_at_random_moments_every_prompt_is_there_exactly_once(tmp_path: Path) -> None:
    # Forked, so that a writer starts at once and dies by SIGKILL wherever it stands.
    processes, chance = multiprocessing.get_context("fork"), random.Random(0)
    prompts, committed, size = 1_000_000, 0, 0
    for _ in range(10):
        writer = processes.Process(target=write_prompts, args=(tmp_path, prompts))
        writer.start()
        path = tmp_path / GENERATIONS
        while not path.exists() or path.stat().st_size == size:
            assert writer.is_alive()
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.05))
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        committed, size = len(read_generations(tmp_path)), path.stat().st_size
        assert len(read_rounds(tmp_path)) == 40 * committed
    finished = committed + 20
    write_prompts(tmp_path, finished)
    lines = list(read_lines(tmp_path / GENERATIONS))
    assert sorted(line["prompt_id"] for line in lines) == sorted(f"p{index}" for index in range(finished))
    assert all(line["token_ids"] == [int(line["prompt_id"][1:])] * 201 for line in lines)
    assert len(read_rounds(tmp_path)) == 40 * finished


def test_a_taint_is_a_known_word_and_old_lines_have_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="taint='odd': expected one of"):
        GenerationRow("p", "mtp", token_ids=[1], taint="odd")
    with Journal(tmp_path, {}) as journal:
        journal.append(GenerationRow("p", "mtp", token_ids=[1], taint="buffered"))
    assert read_generations(tmp_path)["taint"].tolist() == ["buffered"]
    assert generations_frame([{"prompt_id": "p", "arm": "mtp", "token_ids": [1]}])["taint"].tolist() == [None]
