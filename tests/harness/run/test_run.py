"""The main job on a tiny random pair: every arm, every prompt, files as promised."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from drafters.errors import InputError
from harness.decoding.decoder import Decoder
from harness.decoding.programs import REACH_STEP
from harness.records.progress import RunProgress
from harness.run import run
from harness.tasks.chat import load_tokenizer
from harness.vocabulary import EXIT_OK
from tests.helpers.decoded_runs import Configure, generations, tokens_of

pytestmark = pytest.mark.usefixtures("blank_charts")


def test_every_arm_decodes_every_prompt_and_reproduces_the_baseline(configure: Configure, tmp_path: Path) -> None:
    config = configure(drafter=["mtp", "dflash", "lookup", "oracle", "random"], repeats=2)
    outcome = run(config, tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    rows = generations(outcome)
    assert len(rows) == 3 * 6 * 2
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {"exact"}
    assert {row["verdict"] for row in rows if row["arm"] == "baseline"} == {None}
    assert {(row["arm"], row["num_draft_tokens"]) for row in rows} == {
        ("baseline", 0), ("mtp", 3), ("dflash", 3), ("lookup", 3), ("oracle", 3), ("random", 3),
    }  # fmt: skip


def test_the_files_hold_what_was_decoded(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(), tmp_path / "run", command=["harness", "tracking.api_key=abc"])
    folder = outcome.run_dir
    rounds = pd.read_parquet(folder / "rounds.parquet")
    emitted = rounds.groupby(["prompt_id", "arm"])["emitted"].sum()
    for row in generations(outcome):
        assert len(row["token_ids"]) == 1 + emitted[row["prompt_id"], row["arm"]]
        assert row["dataset"] == "prompts"
        assert row["text"]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {row["category"] for row in summary["rows"]} == {"all", "even", "odd"}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"] == ["harness", "tracking.api_key=<redacted>"]
    assert [(arm["name"], arm["num_draft_tokens"]) for arm in manifest["arms"]] == [
        ("baseline", 0),
        ("mtp", 3),
        ("dflash", 3),
    ]
    assert manifest["arms"][2]["native_block"] == 16
    assert manifest["arms"][2]["input_embedding_scale"]["value"] == 1.0
    assert manifest["models"]["mtp"]["parameters"] > 0
    assert manifest["prompts"]["count"] == 3
    assert len(manifest["prompts"]["rendered_sha256"]) == 64
    assert manifest["target"]["dtype"] == "float32"


def test_doubts_about_prompts_are_said_before_the_run_and_stand_in_its_files(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(count=1, drafter=[])
    mark = load_tokenizer(str(config.target.path)).eos_token
    Path(str(config.dataset.path)).write_text(json.dumps({"id": "p", "prompt": f"what is {mark} 1?"}))
    config.dataset.scorer = "number"
    outcome = run(config, tmp_path / "run")
    console = capsys.readouterr().err
    assert f"p ({mark})" in console and "1 of 1 prompts have no answer key" in console
    manifest = json.loads((outcome.run_dir / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["prompts"]["special_tokens_in_text"] == {"p": [mark]}
    assert "special_tokens_in_text" in [guard["code"] for guard in outcome.summary["guards"]]


def test_left_out_each_arm_drafts_its_own_default(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(count=1, num_draft_tokens=None), tmp_path / "run")
    assert {row["arm"]: row["num_draft_tokens"] for row in generations(outcome)} == {
        "baseline": 0,
        "mtp": 4,
        "dflash": 15,
    }


def test_programs_of_every_prompt_ahead_are_prepared_before_the_first_is_timed(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.decoding.decoder.program", lambda part, *_: part)
    monkeypatch.setitem(REACH_STEP, "compile", 8)
    prepared: list[int] = []
    monkeypatch.setattr(Decoder, "prepare_reach", lambda self, reach: (prepared.append(reach), self.set_reach(reach)))
    before: list[int] = []
    restart = RunProgress.restart
    monkeypatch.setattr(RunProgress, "restart", lambda self: (before.append(len(prepared)), restart(self)))
    rows = [{"prompt_id": f"p{i}", "turns": ["what is 1 + 1? " * (1 + 3 * i)]} for i in range(3)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = configure(execution="compile", dataset={"path": str(tmp_path / "long.jsonl")})
    outcome = run(config, tmp_path / "run")
    lengths = {row["prompt_tokens"] for row in generations(outcome)}
    furthest = max(lengths) + config.max_new_tokens
    assert len(lengths) > 1 and max(prepared) >= furthest - 8
    assert before == [len(prepared)] and before[0] > 0
    assert "compiling dflash" in capsys.readouterr().err

    prepared.clear()
    kept = (tmp_path / "run" / "generations.jsonl").read_text().splitlines(keepends=True)
    shortest = min(kept, key=lambda line: json.loads(line)["prompt_tokens"])
    alone = json.loads(shortest)["prompt_id"]
    rest = [line for line in kept if json.loads(line)["prompt_id"] != alone]
    (tmp_path / "run" / "generations.jsonl").write_text("".join(rest))
    run(config, tmp_path / "run")
    assert 0 < len(prepared) < before[0] and max(prepared) < furthest


def test_a_batch_gives_the_same_tokens_as_one_prompt_at_a_time(configure: Configure, tmp_path: Path) -> None:
    alone = run(configure(count=5), tmp_path / "alone")
    together = run(configure(count=5, batch_size=3), tmp_path / "together")
    assert tokens_of(alone) == tokens_of(together)
    assert {row["batch_size"] for row in generations(together)} == {3}


@pytest.mark.parametrize(("verification", "verdict"), [("rejection", "none"), ("match", "exact")])
def test_sampled_runs_are_judged_only_where_the_same_tokens_are_promised(
    configure: Configure, tmp_path: Path, verification: str, verdict: str
) -> None:
    outcome = run(configure(decoding={"temperature": 1.0, "verification": verification}, repeats=2), tmp_path / "run")
    rows = generations(outcome)
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {verdict}
    drawn = {tuple(row["token_ids"]) for row in rows if row["arm"] == "baseline" and row["prompt_id"] == "p0"}
    assert len(drawn) == 2, "each repeat draws with its own seed"
    identity = json.loads((outcome.run_dir / "run_key.json").read_text(encoding="utf-8"))["identity"]
    assert identity["config"]["seeds"] == "hashed", "a run that was drawn by other seeds is not continued"


def test_later_turns_stand_on_the_baselines_answers(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(count=2, turns=3), tmp_path / "run")
    rows = generations(outcome)
    assert sorted({row["turn"] for row in rows}) == [0, 1, 2]
    for turn in (1, 2):
        lengths = {(row["prompt_id"], row["prompt_tokens"]) for row in rows if row["turn"] == turn}
        assert len(lengths) == 2, "all arms read the same prompt"
    assert outcome.exit_code == EXIT_OK


def test_a_history_that_outgrows_the_context_is_a_row_and_not_the_end(configure: Configure, tmp_path: Path) -> None:
    # 1024 positions: the first turn fits, the second one does not.
    outcome = run(configure(count=1, turns=2, max_new_tokens=1000, drafter=[]), tmp_path / "run")
    first, second = generations(outcome)
    assert first["status"] == "ok"
    if first["finish_reason"] == "length":
        assert second["status"] == "error"
        assert "positions, the target has 1024" in second["error"]


def test_a_prompt_longer_than_the_context_is_refused_before_weights(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.load_models", lambda *a: pytest.fail("weights were read"))
    with pytest.raises(InputError, match=r"max_new_tokens=1020 need \d+ positions, the target has 1024"):
        run(configure(max_new_tokens=1020), tmp_path / "run")
    assert not (tmp_path / "run").exists()
