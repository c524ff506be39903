"""Blocks that are drafted again from recorded answers: the rounds of a real run at that k."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records.files import REDRAFTED
from harness.run import run
from tests.helpers.decoded_runs import Configure


def test_redrafted_rounds_are_those_of_a_run_at_that_k(
    configure: Configure, tmp_path: Path, blank_charts: None
) -> None:
    options = {"drafter": ["dflash"]}
    wide = run(configure(turns=2, curve={"redraft": True}, num_draft_tokens=3, **options), tmp_path / "wide")
    lines = [json.loads(line) for line in (wide.run_dir / REDRAFTED).read_text().splitlines()]
    for k in (1, 2):
        real = run(configure(turns=2, num_draft_tokens=k, **options), tmp_path / f"real{k}")
        stored = [json.loads(line) for line in (real.run_dir / "rounds.jsonl").read_text().splitlines()]
        took = {(one["prompt_id"], one["turn"]): one for one in stored if one["arm"] == "dflash"}
        again = {(one["prompt_id"], one["turn"]): one for one in lines if one["k"] == k}
        assert {key: one["rounds"] for key, one in again.items()} == {k: len(one["round"]) for k, one in took.items()}
        for key, one in again.items():
            assert one["accepted"][:-1] == took[key]["accepted"][:-1]  # the last is cut at the answer's end


def test_sampled_answers_are_not_drafted_again(
    configure: Configure, tmp_path: Path, blank_charts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sampled = configure(drafter=["dflash"], decoding={"temperature": 1.0}, curve={"redraft": True})
    outcome = run(sampled, tmp_path / "run")
    assert outcome.exit_code == 0 and not (outcome.run_dir / REDRAFTED).exists()
    assert "curve.redraft=true" in capsys.readouterr().err
