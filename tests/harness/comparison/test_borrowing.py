"""A job borrows a baseline only where it would decode the same one, and the run says what it borrowed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from drafters.errors import InputError
from harness.comparison.borrowing import borrow, same_baseline, siblings
from harness.comparison.schedule import Group
from harness.config import read_config
from harness.metrics.noise import SAMPLE, borrowing, noise_of, run_doubts
from harness.records.frames import read_generations, read_rounds, with_defaults
from harness.records.journal import GenerationKey, GenerationRow, Journal
from harness.records.rounds import Round
from harness.tasks.prompts import Prompt

PROMPTS = [f"p{number:02d}" for number in range(2 * SAMPLE)]
GROUPS = [Group(index, (Prompt(name, "all", (name,)),)) for index, name in enumerate(PROMPTS)]
TWO_THREADS: Any = SimpleNamespace(settled=True, choice=SimpleNamespace(count=2))
MANIFEST = {"versions": {"torch": "2"}, "git": {"commit": "a"}, "hardware": {"cpu": "x"}, "models": {}, "target": {}}


def config(**more: Any) -> Any:
    return read_config(
        {"target": {"path": "nowhere"}, "dataset": {"path": "x"}, "sweep": {"share_baseline": True}, **more}
    )


def identity(drafter: str, **settings: Any) -> dict[str, Any]:
    checkpoints = {"target": {"weights_hash": "t"}, drafter: {"weights_hash": drafter}}
    config = {"drafters": {drafter: {}}, "seed": 0, "temperature": 0.0, **settings}
    return {"config": config, "checkpoints": checkpoints}


def lender(folder: Path, **settings: Any) -> Path:
    """A finished job 0, with a baseline of two tokens a prompt."""
    with Journal(folder, identity("mtp", **settings)) as journal:
        for name in PROMPTS:
            machine = {"threads": 2, "wall_s": 1}
            row = GenerationRow(name, "baseline", token_ids=[1, 2, 3], decode_s=0.2, machine=machine)
            journal.append(row, [Round(0, 1, 0, 0, 1, 0.0, 0.1, 0.0), Round(1, 2, 0, 0, 1, 0.0, 0.1, 0.0)])
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    (folder / "summary.json").write_text("{}", encoding="utf-8")
    return folder


def test_all_but_every_eighth_prompt_is_borrowed_with_its_rounds(tmp_path: Path) -> None:
    lender(tmp_path / "0")
    mine = identity("dflash")
    with Journal(tmp_path / "1", mine) as journal:
        said = borrow(config(), journal, mine, MANIFEST, TWO_THREADS, GROUPS)
        lent = {key.prompt_id for key, row in journal.rows.items() if row["borrowed_from"] == "0"}
    assert lent == {*PROMPTS} - {PROMPTS[0], PROMPTS[SAMPLE]}
    assert said == "14 of 16 generations are those of job 0, not decoded beside this job's arms"
    assert len(read_rounds(tmp_path / "1")) == 2 * len(lent)
    assert set(read_generations(tmp_path / "1")["borrowed_from"]) == {"0"}


@pytest.mark.parametrize(
    ("settings", "manifest", "why"),
    [
        ({"seed": 1}, {}, "another seed"),
        ({"batch_size": 2}, {}, "another batch"),
        ({}, {"git": {"commit": "b"}}, "other code"),
        ({}, {"hardware": {"cpu": "y"}}, "another machine"),
        ({}, {"versions": {"torch": "3"}}, "another torch"),
    ],
)
def test_another_baseline_is_not_borrowed(
    settings: dict[str, Any], manifest: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = lender(tmp_path / "0")
    assert same_baseline(folder, identity("dflash"), MANIFEST)
    assert not same_baseline(folder, identity("dflash", **settings), {**MANIFEST, **manifest}), why
    other = identity("dflash", **settings)
    with Journal(tmp_path / "1", other) as journal:
        said = borrow(config(), journal, other, {**MANIFEST, **manifest}, TWO_THREADS, GROUPS)
        assert not journal.rows
    assert said == "no baseline is shared: no finished job of this sweep decodes the same one"


def test_drafters_and_the_sharing_itself_do_not_change_a_baseline(tmp_path: Path) -> None:
    folder = lender(tmp_path / "0", sweep={"share_baseline": False})
    assert same_baseline(folder, identity("oracle", sweep={"share_baseline": True}), MANIFEST)


def test_what_was_decoded_with_other_threads_or_borrowed_itself_is_left(tmp_path: Path) -> None:
    lender(tmp_path / "0")
    mine = identity("dflash")
    other: Any = SimpleNamespace(settled=True, choice=SimpleNamespace(count=1))
    with Journal(tmp_path / "1", mine) as journal:
        borrow(config(), journal, mine, MANIFEST, other, GROUPS)
        assert not journal.rows, "of two threads"
        borrow(config(), journal, mine, MANIFEST, TWO_THREADS, GROUPS)
    (tmp_path / "1" / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    (tmp_path / "1" / "summary.json").write_text("{}", encoding="utf-8")
    (tmp_path / "0" / "summary.json").unlink()
    assert [path.name for path in siblings(tmp_path / "2")] == ["1"]
    with Journal(tmp_path / "2", mine) as journal:
        borrow(config(), journal, mine, MANIFEST, TWO_THREADS, GROUPS)
        assert not journal.rows, "job 1 has none of its own"


def test_a_thread_count_that_every_job_chooses_shares_nothing(tmp_path: Path) -> None:
    auto: Any = SimpleNamespace(settled=None)
    with Journal(tmp_path / "1", identity("mtp")) as journal:
        assert "target.threads=auto" in borrow(config(), journal, identity("mtp"), MANIFEST, auto, GROUPS)


@pytest.mark.parametrize("more", [{"restarts": 2}, {"until": {"half_width": 0.1}}, {"engine": {"name": "vllm"}}])
def test_sharing_is_refused_where_a_run_has_no_baseline_of_that_kind(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"sweep.share_baseline=true with .*; expected false"):
        config(**more)


def test_a_line_that_was_borrowed_needs_no_arms_beside_it() -> None:
    from harness.comparison.resumption import settled

    rows = {GenerationKey("p", 0, "baseline", 0): {"status": "ok", "attempt": 1, "borrowed_from": "0"}}
    assert settled(rows, ["baseline", "mtp"], together=True, retry_errors=False) == {*rows}
    rows[GenerationKey("q", 0, "baseline", 0)] = {"status": "ok", "attempt": 1}
    assert len(settled(rows, ["baseline", "mtp"], together=True, retry_errors=False)) == 1


# -- the noise ---------------------------------------------------------------------------------------------------------


def table(own_s: float, lent_s: float, own: int, lent: int) -> pd.DataFrame:
    rows = [
        {"prompt_id": str(index), "arm": "baseline", "token_ids": [1] * 11, "prompt_tokens": 20,
         "decode_s": own_s if index < own else lent_s, "borrowed_from": None if index < own else "3"}
        for index in range(own + lent)
    ]  # fmt: skip
    return with_defaults(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("own_s", "severity", "words"),
    [
        (1.0, "info", "those decoded beside them were 0% faster"),
        (0.97, "info", "3% faster"),
        (1.25, "warning", "20% slower: every speedup may be off by as much"),
    ],
)
def test_the_noise_compares_what_was_borrowed_with_what_was_decoded_beside(
    own_s: float, severity: str, words: str
) -> None:
    noise = noise_of(table(own_s, 1.0, 4, 20))
    assert (noise["borrowed"], noise["lenders"]) == (20, ["3"])
    assert "20 of 24 baselines were decoded in job 3, not beside the arms" in noise["text"]
    [guard] = [one for one in run_doubts(table(own_s, 1.0, 4, 20), noise) if one.code == "borrowed_baseline"]
    assert guard.severity == severity
    assert words in guard.message


def test_too_few_of_either_kind_are_a_doubt_too() -> None:
    noise = noise_of(table(1.0, 1.0, 2, 20))
    assert noise["borrowed_drift"] is None
    [guard] = [one for one in run_doubts(table(1.0, 1.0, 2, 20), noise) if one.code == "borrowed_baseline"]
    assert guard.severity == "warning" and "too few beside them" in guard.message


def test_a_run_with_a_baseline_of_its_own_says_nothing_of_it() -> None:
    assert borrowing(table(1.0, 1.0, 8, 0)) == {}
    assert "borrowed" not in noise_of(table(1.0, 1.0, 8, 0))
