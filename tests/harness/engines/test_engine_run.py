"""A run through another engine has the same files as any other; the engine here is a fake that counts upwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import RunConfig, read_config
from harness.engines.vllm import process
from harness.run import Outcome, run
from harness.vocabulary import EXIT_ARM_FAILED, EXIT_MISMATCH, EXIT_OK
from tests.harness.engines.test_answer import WRONG
from tests.helpers import fake_worker
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.fake_server import Script, chunk, serving, zeros
from tests.helpers.recorded_run import OF_THE_MACHINE

pytestmark = pytest.mark.usefixtures("blank_charts")

Configure = Callable[..., RunConfig]
FAKE = Path(fake_worker.__file__)


@pytest.fixture
def configure(pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    monkeypatch.setattr(process, "SCRIPT", FAKE)

    def make(engine: dict[str, Any] | None = None, fault: str = "", turns: int = 1, **options: Any) -> RunConfig:
        drafters: dict[str, Any] = {name: {"path": pair[name]} for name in ("mtp", "dflash")} | {"oracle": {}}
        chosen = {"name": "vllm", "python": sys.executable, "environment": {"FAKE_WORKER": fault}, **(engine or {})}
        composed = {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", 3, turns)},
            "engine": chosen,
            "drafters": drafters,
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 3,
            "max_new_tokens": 9,
        }
        return read_config({**composed, **options})

    return make


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    text = (outcome.run_dir / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def summary_of(outcome: Outcome, arm: str) -> dict[str, Any]:
    return next(row for row in outcome.summary["rows"] if row["category"] == "all" and row["arm"] == arm)


def test_the_engine_decodes_every_arm_and_is_judged_against_its_own_baseline(
    configure: Configure, tmp_path: Path
) -> None:
    outcome = run(configure(), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    rows = rows_of(outcome)
    assert [row["arm"] for row in rows] == ["baseline"] * 3 + ["mtp"] * 3 + ["dflash"] * 3  # one engine at a time
    assert {row["engine"] for row in rows} == {"vllm"}
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {"exact"}
    described = json.loads((outcome.run_dir / "engines.json").read_text(encoding="utf-8"))
    assert set(described) == {"baseline", "mtp", "dflash"}
    assert described["mtp"]["arguments"]["speculative_config"]["method"] == "mtp"


def test_acceptance_is_the_engines_and_what_it_does_not_tell_stays_empty(configure: Configure, tmp_path: Path) -> None:
    row = summary_of(run(configure(), tmp_path / "run"), "mtp")
    # Eight tokens after the first: steps of 3, 1, 2, and the last of 2 cut from 3; accepted 2, 0, 1, 2.
    assert row["acceptance_length"] == pytest.approx(8 / 4)
    assert row["acceptance_rate"] == pytest.approx(5 / 12)
    assert row["position_unconditional"] == pytest.approx([0.75, 0.5, 0.0])
    for name in ("draft_ms", "verify_ms", "other_ms", "predicted_speedup", "unattributed_share", "peak_memory_bytes"):
        assert row[name] is None, name
    assert row["ttft_ms"] == pytest.approx(500.0)
    guards = [guard for guard in row["guards"] if guard.partition(":")[0] not in OF_THE_MACHINE]
    assert guards == ["few_prompts: only 3 paired; the interval needs 10 prompts to be trusted"]


def test_the_counters_of_a_lone_request_are_kept(configure: Configure, tmp_path: Path) -> None:
    rows = rows_of(run(configure(), tmp_path / "run"))
    kept = [row["engine_counters"] for row in rows if row["arm"] == "mtp"]
    assert kept == [
        {
            "num_drafts": 4,
            "num_draft_tokens": 12,
            "num_accepted_tokens": 5,
            "num_accepted_tokens_per_pos": [3, 2, 0],
        }
    ] * 3
    together = rows_of(run(configure(batch_size=3), tmp_path / "together"))
    assert {row["engine_counters"] and 1 for row in together} == {None}
    assert summary_of(run(configure(batch_size=3), tmp_path / "together"), "mtp")["acceptance_length"] == 2.0


def test_a_continued_run_asks_the_engine_for_what_is_missing_only(configure: Configure, tmp_path: Path) -> None:
    whole = rows_of(run(configure(), tmp_path / "run"))
    path = tmp_path / "run" / "generations.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    outcome = run(configure(), tmp_path / "run")
    keys = ("prompt_id", "arm", "token_ids", "verdict")
    assert [[row[key] for key in keys] for row in rows_of(outcome)] == [[row[key] for key in keys] for row in whole]


def test_later_turns_follow_the_engines_baseline(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(turns=2), tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    assert len(rows_of(outcome)) == 3 * 2 * 3


def test_other_tokens_than_the_engines_baseline_are_a_mismatch(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(fault="lossy"), tmp_path / "run")
    assert outcome.exit_code == EXIT_MISMATCH
    row = next(row for row in rows_of(outcome) if row["arm"] == "mtp")
    assert row["verdict"] == "mismatch" and row["verdict_detail"]["index"] == 3


def test_both_engines_stand_in_one_table_and_are_held_against_each_other(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure({"beside": True}, drafter=["mtp", "oracle"]), tmp_path / "run")
    assert outcome.exit_code == EXIT_MISMATCH  # the fake's tokens are not the target's
    arms = [row["arm"] for row in outcome.summary["rows"] if row["category"] == "all"]
    assert sorted(arms) == ["baseline", "mtp", "oracle", "vllm_baseline", "vllm_mtp"]
    rows = {row["arm"]: row for row in rows_of(outcome)}
    assert rows["mtp"]["engine"] == "harness" and rows["mtp"]["verdict"] == "exact"
    assert rows["vllm_baseline"]["verdict"] == "mismatch"
    assert rows["vllm_mtp"]["verdict"] == "exact"  # against vllm_baseline
    assert rows["vllm_mtp"]["verdict_detail"]["harness"]["verdict"] == "mismatch"
    manifest = json.loads((outcome.run_dir / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["differing_conventions"] == [
        "drafters.mtp.position is anchor here and anchor-1 in vLLM, so acceptance may differ"
    ]
    against = {(pair["arm"], pair["other"]) for pair in outcome.summary["pairs"]}
    assert ("vllm_mtp", "vllm_baseline") in against or ("vllm_baseline", "vllm_mtp") in against


def test_beside_the_harness_servers_decode_the_arms_they_are_there_for(configure: Configure) -> None:
    def engines(url: Any, **options: Any) -> list[str]:
        return [arm.name for arm in configure({"beside": True, "url": url}, **options).arms if arm.engine == "vllm"]

    assert engines({"mtp": "http://127.0.0.1:9"}) == ["vllm_mtp"]
    assert engines({"baseline": "http://127.0.0.1:9", "mtp": "http://127.0.0.1:8"}) == ["vllm_baseline", "vllm_mtp"]
    assert engines("http://127.0.0.1:9", drafter="dflash") == ["vllm_dflash"]
    assert engines(None) == ["vllm_baseline", "vllm_mtp", "vllm_dflash"]


def test_an_engine_that_does_not_start_is_a_failed_arm_with_its_reason(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(fault="refuse"), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert all("no such model" in row["error"] for row in rows_of(outcome))


def test_an_engine_that_dies_tells_the_end_of_its_log(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(fault="die", drafter=[]), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert all("out of memory, says the fake" in row["error"] for row in rows_of(outcome))


def test_answers_that_are_not_whole_are_error_rows_and_no_figure(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(fault="abort", drafter=[]), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert all(row["status"] == "error" and "finish reason 'abort'" in row["error"] for row in rows_of(outcome))
    row = summary_of(outcome, "baseline")
    assert (row["errors"], row["generations"], row["tokens"]) == (3, 0, 0)
    assert row["decode_tok_s"] is row["end_to_end_tok_s"] is row["ttft_ms"] is row["acceptance_length"] is None


def test_a_servers_answers_that_end_in_any_wrong_way_are_error_rows_and_no_figure(
    configure: Configure, tmp_path: Path
) -> None:
    script = Script()
    script.chunks = [chunk(8), chunk(9), chunk(10, finish="length")]
    warm_up = {"chunks": [chunk(8), chunk(9), chunk(10), chunk(11, finish="length")]}
    script.acts = [warm_up, *(changes for changes, _ in WRONG.values())]
    prompts = write_prompts(tmp_path / "more.jsonl", len(WRONG) + 1)
    with serving(script) as url:
        config = configure({"url": url}, drafter=[], max_new_tokens=3, dataset={"path": prompts})
        outcome = run(config, tmp_path / "run")
    assert [row["status"] for row in rows_of(outcome)] == ["error"] * len(WRONG) + ["ok"]
    row = summary_of(outcome, "baseline")
    assert (row["errors"], row["generations"], row["tokens"]) == (len(WRONG), 1, 3)


def test_a_server_that_speculates_is_no_baseline_and_is_refused_before_anything_is_decoded(
    configure: Configure, tmp_path: Path
) -> None:
    script = Script()
    script.counters = zeros()
    with serving(script) as url, pytest.raises(InputError, match=r"engine\.url of baseline: .* speculates"):
        run(configure({"url": url}, drafter=[]), tmp_path / "run")
    assert script.asked == [] and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "engine", "message"),
    [
        ({}, {"url": {"mtpp": "http://127.0.0.1:9"}}, r"engine\.url\.mtpp: unknown arm, expected one of baseline, mtp"),
        ({}, {"speculative": {"dflsh": {}}}, r"engine\.speculative\.dflsh: unknown arm"),
        ({}, {"speculative": {"mtp": {"num_speculative_tokens": 2}}}, r"expected drafters\.mtp\.num_draft_tokens"),
        ({}, {"options": {"speculative_config": {}}}, r"engine\.options\.speculative_config=\{\}: expected"),
        ({"decoding": {"temperature": 0.005}}, {}, r"decoding\.temperature=0\.005: vLLM samples with 0\.01"),
        ({"drafter": "oracle"}, {}, "vLLM has no oracle drafter"),
        ({}, {"url": "http://127.0.0.1:9"}, "expected one address per arm"),
        ({}, {"url": {"mtp": "somewhere"}}, "expected http://HOST:PORT"),
        ({"decoding": {"temperature": 1.0, "verification": "match"}}, {}, "the target's distribution"),
        ({}, {"data_parallel": 2}, "only as a server"),
        ({}, {"tensor_parallel": 0}, "engine.tensor_parallel=0"),
        ({}, {"name": "sglang"}, "expected one of harness, vllm"),
    ],
)
def test_settings_that_vllm_cannot_run_are_refused_before_it_starts(
    configure: Configure, tmp_path: Path, options: dict[str, Any], engine: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(configure(engine, **options), tmp_path / "run")


def test_an_option_that_vllm_does_not_have_is_refused_unless_it_says_what_vllm_does(
    configure: Configure, pair: dict[str, str], tmp_path: Path
) -> None:
    def drafter(position: str) -> dict[str, Any]:
        return {"drafter": "mtp", "drafters": {"mtp": {"path": pair["mtp"], "position": position}}}

    with pytest.raises(InputError, match=r"drafters\.mtp\.position=anchor: vLLM always does anchor-1"):
        run(configure(**drafter("anchor")), tmp_path / "run")
    assert run(configure(**drafter("anchor-1")), tmp_path / "other").exit_code == EXIT_OK
