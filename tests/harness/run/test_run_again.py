"""A run that is started again: finished, interrupted, with errors to retry, and beside others in one process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from drafters.errors import InputError
from harness.comparison import arms as arms_module
from harness.comparison import models
from harness.run import run
from harness.vocabulary import EXIT_INTERRUPTED, EXIT_MISMATCH, EXIT_OK
from tests.helpers.decoded_runs import Configure, corrupting, failing, generations, tokens_of

pytestmark = pytest.mark.usefixtures("blank_charts")


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
    with pytest.raises(InputError, match="max_new_tokens: 8 -> 9"):
        run(configure(max_new_tokens=9), tmp_path / "run")


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
