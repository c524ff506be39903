"""Arms that fail, that answer wrongly and that draft nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparison import arms as arms_module
from harness.run import run
from harness.vocabulary import EXIT_ARM_FAILED, EXIT_MISMATCH, EXIT_OK
from tests.helpers.decoded_runs import Configure, corrupting, failing, generations

pytestmark = pytest.mark.usefixtures("blank_charts")


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


def test_a_failed_baseline_leaves_nothing_to_hold_against(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms_module, "decode", failing("baseline", RuntimeError("no")))
    outcome = run(configure(count=1, turns=2), tmp_path / "run")
    rows = generations(outcome)
    assert {row["verdict"] for row in rows if row["arm"] == "mtp" and row["turn"] == 0} == {"none"}
    assert {row["error"] for row in rows if row["turn"] == 1} == {"turn 1 has no baseline answer to go on from"}
    assert outcome.exit_code == EXIT_ARM_FAILED


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
    outcome = run(configure(max_new_tokens=12), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert outcome.error is not None and "drafted 0 tokens" in outcome.error and "check drafters." in outcome.error
    assert {row["prompt_id"] for row in generations(outcome)} == {"p0"}, "stopped at once"
