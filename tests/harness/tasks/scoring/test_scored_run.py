"""Scores and thinking reach the journal and the summary, from the outputs that were timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import RunConfig, read_config
from harness.run import run
from harness.vocabulary import EXIT_OK

pytestmark = pytest.mark.usefixtures("blank_charts")


def configured(pair: dict[str, str], rows: list[dict[str, Any]], folder: Path, **dataset: Any) -> RunConfig:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_config(
        {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": str(path), **dataset},
            "drafters": {name: {"path": pair[name]} for name in ("mtp", "dflash")},
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 2,
            "max_new_tokens": 6,
            "costs": False,
        }
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "generations.jsonl").read_text().splitlines()]


def test_every_arm_has_the_score_of_the_last_turn_and_the_summary_their_mean(
    pair: dict[str, str], tmp_path: Path
) -> None:
    rows = [{"id": "a", "turns": ["one?", "two?"], "answer": "no number but 7"}, {"id": "b", "question": "x"}]
    outcome = run(configured(pair, rows, tmp_path, scorer="number"), tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    scores = {(row["prompt_id"], row["turn"], row["arm"]): row["score"] for row in lines(tmp_path / "run")}
    for arm in ("baseline", "mtp", "dflash"):
        assert scores["a", 0, arm] is None and scores["b", 0, arm] is None
        assert scores["a", 1, arm] == scores["a", 1, "baseline"] in (0.0, 1.0)
    overall = [row for row in outcome.summary["rows"] if row["category"] == "all"]
    assert {(row["scored"], row["accuracy"]) for row in overall} == {(1, scores["a", 1, "baseline"])}
    scoring = json.loads((tmp_path / "run" / "manifest.json").read_text())["prompts"]["scoring"]
    assert scoring == {"scorer": "number"}


def test_an_unusable_key_is_reported_before_weights_are_loaded(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    config = configured(pair, [{"id": "a", "question": "x", "answer": "none"}], tmp_path, scorer="number")
    with pytest.raises(InputError, match="prompt a: the answer key 'none' holds no number"):
        run(config, tmp_path / "run")


def test_a_scorer_that_fails_costs_its_score_and_nothing_else(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, prompt: Any, text: str) -> float:
        raise OSError("no more processes")

    monkeypatch.setattr("harness.tasks.scoring.scorer.Scorer.__call__", fail)
    config = configured(pair, [{"id": "a", "question": "x", "answer": "7"}], tmp_path, scorer="number")
    outcome = run(config, tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    assert {row["score"] for row in lines(tmp_path / "run")} == {None}
    assert "no more processes" in (tmp_path / "run" / "errors.log").read_text()


def test_thinking_asked_for_and_never_seen_is_flagged(pair: dict[str, str], tmp_path: Path) -> None:
    rows = [{"question": f"x{index}"} for index in range(10)]  # fewer prove nothing
    outcome = run(configured(pair, rows, tmp_path, thinking=True), tmp_path / "run")
    assert {row["thinking_tokens"] for row in lines(tmp_path / "run")} == {0}
    assert "no_thinking" in {guard["code"] for guard in outcome.summary["guards"]}


def test_prompts_have_the_requested_length(pair: dict[str, str], tmp_path: Path) -> None:
    rows = [{"id": str(i), "question": f"is {i} more than 2?"} for i in range(3)]
    run(configured(pair, rows, tmp_path, context_tokens=60), tmp_path / "run")
    assert {row["prompt_tokens"] for row in lines(tmp_path / "run")} <= {57, 58, 59, 60}
