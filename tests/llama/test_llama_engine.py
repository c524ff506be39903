"""llama.cpp and the harness on the embedded families: the same greedy tokens, the same rounds, one report."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, read_config
from harness.engines.arms import EngineArms
from harness.engines.worker import EngineError
from harness.errors import EXIT_OK
from harness.metrics.engines import as_counted
from harness.records.frames import read_generations, read_rounds
from harness.run import Outcome, run
from harness.vocabulary import ASSETS

pytestmark = pytest.mark.llama

NEW_TOKENS = 64
#: Arms by name, with their kind and k.
ARMS = {f"{kind}{k}": (kind, k) for kind, k in (("mtp", 1), ("mtp", 4), ("mtp", 8), ("dflash", 4), ("dflash", 15))}
FAMILIES = {"embedded": ASSETS, "embedded_e2b": ASSETS / "e2b"}


def configure(family: str, arms: dict[str, tuple[str, int]], prompts: int, engine: dict[str, Any]) -> RunConfig:
    """One run with both engines: greedy, float32."""
    folder = FAMILIES[family]
    drafters = {
        name: {"kind": kind, "num_draft_tokens": k, **({} if kind == "lookup" else {"path": str(folder / kind)})}
        for name, (kind, k) in arms.items()
    }
    return read_config(
        {
            "target": {"name": family, "path": str(folder / "target"), "dtype": "float32", "device": "cpu"},
            "dataset": {"name": "embedded", "path": str(ASSETS / "prompts.jsonl"), "limit": prompts, "thinking": False},
            "engine": {"name": "llama_cpp", "beside": True, **engine},
            "drafters": drafters,
            "drafter": list(drafters),
            "max_new_tokens": NEW_TOKENS,
        }
    )


def tokens_of(outcome: Outcome) -> dict[tuple[str, str], list[int]]:
    return {(row.prompt_id, row.arm): row.token_ids for row in read_generations(outcome.run_dir).itertuples()}


@pytest.fixture(scope="module", params=FAMILIES)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    config = configure(request.param, ARMS | {"lookup": ("lookup", 4)}, 14, {})
    return run(config, tmp_path_factory.mktemp("runs") / request.param)


def test_greedy_tokens_are_equal_in_both_engines_for_every_arm(outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    tokens = tokens_of(outcome)
    assert len(tokens) == 14 * 2 * (1 + len(ARMS) + 1)
    for (prompt, arm), found in tokens.items():
        assert found == tokens[prompt, "baseline"], (prompt, arm)


def test_mtp_drafts_part_in_few_answers_once_they_are_counted_alike(outcome: Outcome) -> None:
    """Draft logits are computed in another order, so that two nearly equal drafts may swap; tokens never do."""
    if "e2b" in outcome.run_dir.name:
        pytest.skip("llama.cpp scores the whole vocabulary where the assistant has an ordered head")
    rounds = read_rounds(outcome.run_dir).sort_values(["prompt_id", "position"])
    for arm in ("mtp1", "mtp4", "mtp8"):
        parted = []
        for prompt, ours in rounds[rounds["arm"] == arm].groupby("prompt_id"):
            theirs = rounds[(rounds["arm"] == f"llama_cpp_{arm}") & (rounds["prompt_id"] == prompt)]
            counts = ours[["drafted", "accepted", "emitted"]].itertuples(index=False, name=None)
            found = list(theirs[["drafted", "accepted", "emitted"]].itertuples(index=False, name=None))
            if found != as_counted(counts, NEW_TOKENS):
                parted.append(prompt)
        assert len(parted) <= 2, (arm, parted)


def test_the_table_holds_both_engines_and_their_rounds(outcome: Outcome) -> None:
    rows = {row["arm"]: row for row in outcome.summary["rows"] if row["category"] == "all"}
    for arm in ARMS:
        assert rows[f"llama_cpp_{arm}"]["rounds"] > 0 and rows[f"llama_cpp_{arm}"]["acceptance_rate"] > 0
        assert rows[f"llama_cpp_{arm}"]["draft_ms"] is None


def test_prompts_in_slots_beside_each_other_keep_tokens_and_rounds(tmp_path: Path) -> None:
    config = configure("embedded", {"mtp": ("mtp", 4)}, 6, {})
    config.batch_size = 3
    found = run(config, tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rounds = read_rounds(found.run_dir)
    assert len(rounds[rounds["arm"] == "llama_cpp_mtp"])


@pytest.mark.parametrize("kind", ["ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache"])
def test_every_kind_of_lookup_keeps_the_tokens(kind: str, tmp_path: Path) -> None:
    speculative = {"speculative": {"lookup": {"spec_type": kind}}}
    found = run(configure("embedded", {"lookup": ("lookup", 4)}, 3, speculative), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)


def test_quantised_weights_are_judged_against_their_own_baseline(tmp_path: Path) -> None:
    arms = {"mtp": ("mtp", 4), "dflash": ("dflash", 15)}
    found = run(configure("embedded", arms, 7, {"weights": "q8_0"}), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rows = read_generations(found.run_dir)
    own = rows[rows["arm"] == "llama_cpp_baseline"]
    assert set(own["verdict"]) == {"none"}
    assert all("Q8_0" in detail["reason"] and detail["harness"]["verdict"] for detail in own["verdict_detail"])
    assert set(rows[rows["arm"].isin(["llama_cpp_mtp", "llama_cpp_dflash"])]["verdict"]) == {"exact"}


def test_a_killed_worker_is_error_rows_that_a_continued_run_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, killed = EngineArms.decode, []

    def killing(arms: EngineArms, arm: str, *rest: Any) -> Any:
        if arm == "llama_cpp_mtp" and not killed:
            killed.append(arms.session.worker.process.pid)  # type: ignore[union-attr]
            os.kill(killed[0], signal.SIGKILL)
        return decode(arms, arm, *rest)

    monkeypatch.setattr(EngineArms, "decode", killing)
    config = configure("embedded", {"mtp": ("mtp", 4)}, 3, {})
    run(config, tmp_path / "run")
    errors = read_generations(tmp_path / "run")["error"].dropna()
    assert len(errors) == 1 and EngineError.__name__ in errors.iloc[0]
    config.retry_errors = True
    assert run(config, tmp_path / "run").exit_code == EXIT_OK
    described = json.loads((tmp_path / "run" / "engines.json").read_text(encoding="utf-8"))
    assert described["llama_cpp_mtp"]["versions"]["xllamacpp"]
    with pytest.raises(ProcessLookupError):
        os.kill(killed[0], 0)


