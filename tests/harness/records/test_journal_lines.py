"""The journals byte for byte: their lines, lines taken over from another journal, and refused ones."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.records.files import GENERATIONS, ROUNDS_JOURNAL, RUN_KEY
from harness.records.journal import GenerationKey, GenerationRow, Journal, key_of
from harness.records.journal_files import read_lines
from harness.records.rounds import TAINTS, Round
from tests.harness.records.test_journal import IDENTITY, fill, rounds, row
from tests.helpers.lines import whole


def lines(folder: Path, name: str = GENERATIONS) -> list[dict[str, Any]]:
    return list(read_lines(folder / name))


def test_a_generation_and_its_rounds_are_one_line_each_with_one_commit_word(tmp_path: Path) -> None:
    done = row("p", "dflash", turn=1, repeat=2, text="so")
    rough = [Round(0, 9, 4, 3, 3, 0.12345678949, None, 0.0), Round(1, 12, 4, 1, 2, 1 / 3, 0.25, None)]
    with Journal(tmp_path / "made" / "on" / "the" / "way", IDENTITY) as journal:
        journal.append(done, rough)
        journal.append(row("q", engine="vllm"))
        found = lines(journal.run_dir)
        assert list(journal.rows.values()) == found
    assert found[0] == asdict(done) | {"attempt": 1, "commit": found[0]["commit"]}
    assert len(found[0]["commit"]) == 12 and found[0]["commit"] != found[1]["commit"]
    assert lines(journal.run_dir, ROUNDS_JOURNAL) == [
        {
            "prompt_id": "p", "turn": 1, "arm": "dflash", "repeat": 2, "commit": found[0]["commit"],
            "round": [0, 1], "position": [9, 12], "drafted": [4, 4], "accepted": [3, 1], "emitted": [3, 2],
            "draft_s": [0.123456789, 0.333333333], "verify_s": [None, 0.25], "other_s": [0.0, None],
        }
    ]  # fmt: skip


def test_rounds_are_on_the_disk_before_the_line_that_commits_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        names = {os.fstat(f.fileno()).st_ino: Path(f.name).name for f in (journal._rounds, journal._generations)}
        synced: list[tuple[str, bool]] = []

        def note(descriptor: int) -> None:
            name = names[os.fstat(descriptor).st_ino]
            synced.append((name, (tmp_path / GENERATIONS).stat().st_size > 0))

        monkeypatch.setattr(os, "fsync", note)
        journal.append_all([(row("p"), rounds(3, 2)), (row("q"), rounds(5))])
    assert synced == [(ROUNDS_JOURNAL, False), (GENERATIONS, True)]


def test_each_start_that_decodes_has_a_number_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path, "p", "q")
    with Journal(tmp_path, IDENTITY):
        pass
    fill(tmp_path, "r")
    assert [line["attempt"] for line in lines(tmp_path)] == [1, 1, 2]


def absorbed(mine: Journal, *prompts: str) -> list[str]:
    mine.absorb(mine.run_dir.parent / "theirs", set(prompts))
    return [line["prompt_id"] for line in lines(mine.run_dir)]


def test_generations_that_only_another_journal_has_are_taken_over_with_their_rounds(tmp_path: Path) -> None:
    fill(tmp_path / "theirs", "p", "q", "r")
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        mine.append(GenerationRow("q", "mtp", status="error", error="lost"))
        mine.append(row("r", tokens=2), rounds(1))
        assert absorbed(mine, "q", "r") == ["q", "r", "q"], "an error of mine gives way, what is done stands"
        assert absorbed(mine, "q", "r") == ["q", "r", "q"], "and nothing is taken twice"
        assert absorbed(mine, "p") == ["q", "r", "q", "p"]
        assert mine.rows[GenerationKey("q", 0, "mtp", 0)] == lines(tmp_path / "theirs")[1]
    assert [line["prompt_id"] for line in lines(tmp_path / "mine", ROUNDS_JOURNAL)] == ["r", "q", "p"]


def test_what_another_run_lends_says_so_and_brings_its_rounds(tmp_path: Path) -> None:
    fill(tmp_path / "theirs", "p", "q", "r")
    keys = [GenerationKey(prompt, 0, "mtp", 0) for prompt in ("p", "absent", "r", "q")]
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        mine.append(row("p", tokens=2), rounds(1))
        mine.borrow(tmp_path / "theirs", keys[:3], "7")
        (own, lent), theirs = lines(mine.run_dir), lines(tmp_path / "theirs")
        assert "borrowed_from" not in own and lent == theirs[2] | {"borrowed_from": "7"}
        assert mine.rows == {keys[0]: own, keys[2]: lent}
    mine_rounds, their_rounds = (lines(tmp_path / name, ROUNDS_JOURNAL) for name in ("mine", "theirs"))
    assert mine_rounds[1:] == [their_rounds[2]]


def test_a_later_start_of_another_journal_goes_before_mine(tmp_path: Path) -> None:
    fill(tmp_path / "theirs", "other")
    with Journal(tmp_path / "theirs", IDENTITY) as theirs:
        theirs.append(row("p"), rounds(5))
        theirs.append(GenerationRow("q", "mtp", status="error", error="lost"))
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        mine.append(row("p", tokens=2), rounds(1))
        assert absorbed(mine, "p") == ["p", "p"]
        assert mine.rows[GenerationKey("p", 0, "mtp", 0)]["attempt"] == 2
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        mine.append(row("p", tokens=2), rounds(1))
        assert absorbed(mine, "p") == ["p", "p", "p"], "mine has the higher number now"
        mine.append(GenerationRow("q", "mtp", status="error", error="mine"))
        assert absorbed(mine, "q")[3:] == ["q"], "one error does not give way to another"


def test_lines_of_earlier_versions_without_a_number_are_of_no_start(tmp_path: Path) -> None:
    for name in ("theirs", "mine"):
        fill(tmp_path / name, "p")
        text = (tmp_path / name / GENERATIONS).read_text()
        (tmp_path / name / GENERATIONS).write_text(text.replace('"attempt": 1', '"attempt": null'))
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        assert mine.attempt == 1
        assert absorbed(mine, "p") == ["p"]
    fill(tmp_path / "theirs", "p", "q")
    with Journal(tmp_path / "mine", IDENTITY) as mine:
        assert absorbed(mine, "q") == ["p", "q"]
        assert absorbed(mine, "p") == ["p", "q", "p"], "the first start with a number goes before one without"


def test_another_runs_journal_is_not_taken_over(tmp_path: Path) -> None:
    other: dict[str, Any] = {"config": {"seed": 1}, "checkpoints": {}}
    with Journal(tmp_path / "theirs", other) as theirs:
        theirs.append(row("p"), rounds(5))
    with Journal(tmp_path / "mine", IDENTITY) as mine, pytest.raises(InputError, match="another configuration"):
        absorbed(mine, "p")
    with Journal(tmp_path / "upgraded", IDENTITY, upgrade=lambda *_: IDENTITY) as mine:
        assert absorbed(mine, "p") == ["p"]


def test_a_run_of_an_earlier_version_continues_if_its_upgraded_identity_fits(tmp_path: Path) -> None:
    fill(tmp_path, "p")
    now: dict[str, Any] = {"config": {"seed": 0, "fresh": 1}, "checkpoints": {}}
    with Journal(tmp_path, now, upgrade=lambda kept, version, folder: {**now, "checkpoints": {}}) as journal:
        assert len(journal.rows) == 1


@pytest.mark.parametrize("content", [b"{", b"\n"])
def test_a_folder_with_records_and_no_key_is_not_fresh(tmp_path: Path, content: bytes) -> None:
    (tmp_path / GENERATIONS).write_bytes(content)
    for _ in range(2):  # a refused folder is not held locked
        with pytest.raises(InputError, match="the file is damaged or gone"):
            Journal(tmp_path, IDENTITY)
    assert not (tmp_path / RUN_KEY).exists()


def test_a_second_writer_is_refused_by_the_folders_name(tmp_path: Path) -> None:
    line = f"hydra.run.dir={tmp_path}: another process is writing this run; expected one at a time"
    with Journal(tmp_path, IDENTITY), pytest.raises(InputError, match=whole(line)):
        Journal(tmp_path, IDENTITY)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"status": "done"}, "status='done': expected one of ('ok', 'error')"),
        ({"verdict": "equal"}, "verdict='equal': expected one of ('mismatch', 'tie', 'exact', 'none') or None"),
        ({"taint": "odd"}, f"taint='odd': expected one of {tuple(TAINTS)}"),
        ({"token_ids": []}, "prompt p, arm mtp: status ok with no token_ids"),
        ({"prompt_id": 3}, "prompt_id=3, arm='mtp': expected two strings"),
        ({"arm": None}, "prompt_id='p', arm=None: expected two strings"),
        ({"arm": "\ud83d"}, "'\\ud83d': expected text that UTF-8 can write, it holds half a surrogate pair"),
    ],
)
def test_an_impossible_row_is_refused_in_one_line(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=whole(line)):
        GenerationRow(**{"prompt_id": "p", "arm": "mtp", "token_ids": [1], **fields})


@pytest.mark.parametrize("emitted", [(), (3,), (3, 3)])
def test_rounds_that_do_not_account_for_the_tokens_are_refused(tmp_path: Path, emitted: tuple[int, ...]) -> None:
    line = (
        f"prompt p, arm mtp: 6 token_ids, expected {1 + sum(emitted)} (one from prefill and what the rounds emitted)"
    )
    with Journal(tmp_path, IDENTITY) as journal:
        with pytest.raises(ValueError, match=whole(line)):
            journal.append(row("p"), rounds(*emitted))
        if emitted:  # another engine may give no rounds, but not half of them
            with pytest.raises(ValueError, match=whole(line)):
                journal.append(row("p", engine="vllm"), rounds(*emitted))
    assert lines(tmp_path) == lines(tmp_path, ROUNDS_JOURNAL) == []


def test_half_surrogates_become_question_marks_in_every_text() -> None:
    broken = row("p", text="a\ud83d", error="b\ude00", category="c\ud83d")
    assert (broken.text, broken.error, broken.category) == ("a?", "b?", "c?")


def test_a_line_without_a_key_is_named_by_its_fields() -> None:
    assert key_of({"prompt_id": "p", "arm": "mtp"}) == GenerationKey("p", 0, "mtp", 0)
    for line, has in (({}, "no key"), ({"prompt_id": "p", "turn": 1}, "prompt_id, turn"), ({"arm": "mtp"}, "arm")):
        with pytest.raises(InputError, match=whole(f"a line of the journals has {has}: expected prompt_id and arm")):
            key_of(line)
