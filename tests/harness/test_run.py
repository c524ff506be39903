"""The main job on a tiny random pair: every arm, every prompt, files as promised."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.comparison import arms as arms_module
from harness.comparison import models
from harness.config import RunConfig, read_config
from harness.decoding.decoder import Decoder
from harness.decoding.programs import REACH_STEP
from harness.errors import EXIT_ARM_FAILED, EXIT_INTERRUPTED, EXIT_MISMATCH, EXIT_OK, InputError
from harness.progress import RunProgress
from harness.run import Outcome, run
from harness.tasks.chat import load_tokenizer
from tests.helpers.checkpoint_folders import write_pair, write_prompts

Configure = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def configure(pair: dict[str, str], tmp_path: Path) -> Configure:
    def make(count: int = 3, turns: int = 1, **options: Any) -> RunConfig:
        prompts = write_prompts(tmp_path / "prompts.jsonl", count, turns)
        drafters: dict[str, Any] = {name: {"path": pair[name]} for name in ("mtp", "dflash")}
        drafters |= {"lookup": {}, "oracle": {}, "random": {}}
        composed = {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": prompts},
            "drafters": drafters,
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 3,
            "max_new_tokens": 12,
        }
        return read_config({**composed, **options})

    return make


def generations(outcome: Outcome) -> list[dict[str, Any]]:
    text = (outcome.run_dir / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def tokens_of(outcome: Outcome) -> dict[tuple[Any, ...], list[int]]:
    return {(r["prompt_id"], r["turn"], r["arm"], r["repeat"]): r["token_ids"] for r in generations(outcome)}


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


def test_a_finished_run_is_not_decoded_again(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tokens_of(run(configure(), tmp_path / "run"))
    monkeypatch.setattr(arms_module, "decode", lambda *a, **k: pytest.fail("decoded again"))
    again = run(configure(), tmp_path / "run")
    assert tokens_of(again) == before
    assert len(json.loads((tmp_path / "run" / "manifest.json").read_text())["attempts"]) == 2


def test_another_configuration_may_not_continue_a_run(configure: Configure, tmp_path: Path) -> None:
    run(configure(), tmp_path / "run")
    with pytest.raises(InputError, match="max_new_tokens: 12 -> 13"):
        run(configure(max_new_tokens=13), tmp_path / "run")


def failing(arm_name: str, error: BaseException, after: int = 0) -> Callable[..., Any]:
    """`decode` that raises once the named drafter has been asked more than `after` times."""
    real, calls = arms_module.decode, [0]

    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(drafter, "name", "baseline") == arm_name:
            calls[0] += 1
            if calls[0] > after:
                raise error
        return real(target, drafter, *args, **kwargs)

    return decode


def test_an_interrupted_run_continues_to_the_same_tokens(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = tokens_of(run(configure(), tmp_path / "undisturbed"))
    # One warm-up and one prompt pass; the second prompt is interrupted.
    monkeypatch.setattr(arms_module, "decode", failing("mtp", KeyboardInterrupt(), after=2))
    stopped = run(configure(), tmp_path / "run")
    assert stopped.exit_code == EXIT_INTERRUPTED
    assert {row["prompt_id"] for row in generations(stopped)} == {"p0"}
    assert stopped.summary["rows"], "what is there is summarised"
    monkeypatch.undo()
    continued = run(configure(), tmp_path / "run")
    assert continued.exit_code == EXIT_OK
    assert len(generations(continued)) == len(undisturbed)
    assert tokens_of(continued) == undisturbed


def test_interrupted_before_the_first_prompt_there_is_still_a_summary(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms_module, "decode", failing("baseline", KeyboardInterrupt()))
    outcome = run(configure(), tmp_path / "run")
    assert outcome.exit_code == EXIT_INTERRUPTED
    assert outcome.summary["rows"] == []


def test_an_arm_that_fails_is_recorded_and_the_others_go_on(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("CUDA out of memory\nmore")
    monkeypatch.setattr(arms_module, "decode", failing("dflash", error))
    outcome = run(configure(), tmp_path / "run")
    rows = generations(outcome)
    assert {(row["arm"], row["status"], row["error"]) for row in rows} == {
        ("baseline", "ok", None),
        ("mtp", "ok", None),
        ("dflash", "error", "RuntimeError: CUDA out of memory"),
    }
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert outcome.error is not None and "dflash finished no prompt" in outcome.error
    assert "CUDA out of memory" in (tmp_path / "run" / "errors.log").read_text(encoding="utf-8")


def test_one_failed_prompt_is_no_failed_arm_and_can_be_tried_again(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms_module, "decode", failing("dflash", RuntimeError("once"), after=3))
    outcome = run(configure(), tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    assert [row["status"] for row in generations(outcome) if row["arm"] == "dflash"] == ["ok", "ok", "error"]
    monkeypatch.undo()
    again = run(configure(retry_errors=True), tmp_path / "run")
    assert all(row["errors"] == 0 for row in again.summary["rows"])


def test_arms_are_judged_against_a_baseline_that_is_made_anew(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong arm beside a failed baseline: tried again, its verdict and its times are of the new attempt."""
    monkeypatch.setattr(arms_module, "decode", failing("baseline", RuntimeError("once"), after=3))
    first = run(configure(drafter="mtp"), tmp_path / "run")
    assert [row["verdict"] for row in generations(first) if row["arm"] == "mtp"] == ["exact", "exact", "none"]
    earlier = len(generations(first))
    monkeypatch.undo()
    monkeypatch.setattr(arms_module, "decode", corrupting(arms_module.decode))
    again = run(configure(drafter="mtp", retry_errors=True), tmp_path / "run")
    assert again.exit_code == EXIT_MISMATCH
    new = generations(again)[earlier:]
    assert {(row["prompt_id"], row["arm"], row["attempt"]) for row in new} == {
        ("p2", "baseline", 2), ("p2", "mtp", 2),
    }  # fmt: skip
    assert [row["verdict"] for row in new if row["arm"] == "mtp"] == ["mismatch"]
    [row] = [row for row in again.summary["rows"] if (row["arm"], row["category"]) == ("mtp", "all")]
    assert (row["verdict_exact"], row["verdict_mismatch"], row["paired_prompts"]) == (2, 1, 3)


def test_a_failed_baseline_leaves_nothing_to_hold_against(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms_module, "decode", failing("baseline", RuntimeError("no")))
    outcome = run(configure(count=1, turns=2), tmp_path / "run")
    rows = generations(outcome)
    assert {row["verdict"] for row in rows if row["arm"] == "mtp" and row["turn"] == 0} == {"none"}
    assert {row["error"] for row in rows if row["turn"] == 1} == {"turn 1 has no baseline answer to go on from"}
    assert outcome.exit_code == EXIT_ARM_FAILED


def corrupting(real: Callable[..., Any]) -> Callable[..., Any]:
    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(target, drafter, *args, **kwargs)
        if getattr(drafter, "name", None) == "mtp":
            for generation in found:
                generation.token_ids[3] = (generation.token_ids[3] + 7) % 90
        return found

    return decode


@pytest.mark.parametrize(("strict", "code"), [(True, EXIT_MISMATCH), (False, EXIT_OK)])
def test_a_corrupted_token_is_a_mismatch_whatever_strict_says(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool, code: int
) -> None:
    monkeypatch.setattr(arms_module, "decode", corrupting(arms_module.decode))
    outcome = run(configure(strict=strict), tmp_path / "run")
    assert {(row["arm"], row["verdict"]) for row in generations(outcome) if row["arm"] != "baseline"} == {
        ("mtp", "mismatch"),
        ("dflash", "exact"),
    }
    assert outcome.exit_code == code


def test_a_drafter_that_drafts_nothing_stops_the_run(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = arms_module.decode

    def decode(target: Any, drafter: Any, *args: Any, **kwargs: Any) -> Any:
        return real(target, None, *args, **kwargs)

    monkeypatch.setattr(arms_module, "decode", decode)
    outcome = run(configure(), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert outcome.error is not None and "drafted 0 tokens" in outcome.error and "check drafters." in outcome.error
    assert {row["prompt_id"] for row in generations(outcome)} == {"p0"}, "stopped at once"


def test_jobs_of_one_process_share_the_target(configure: Configure, tmp_path: Path) -> None:
    models.release()
    run(configure(count=1), tmp_path / "one")
    first = models._held
    run(configure(count=1, num_draft_tokens=2), tmp_path / "two")
    assert models._held is first is not None


def test_a_target_that_was_replaced_in_its_folder_is_loaded_anew(
    configure: Configure, tmp_path: Path, pair: dict[str, str]
) -> None:
    models.release()
    run(configure(count=1), tmp_path / "one")
    first = models._held
    os.utime(Path(pair["target"]) / "model.safetensors", ns=(1, 1))
    run(configure(count=1), tmp_path / "two")
    assert models._held is not first
