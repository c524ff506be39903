"""Each arm's best k is the fastest of its candidates, is used by the run, and survives a second start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.comparison import calibration
from harness.comparison.plan import preflight
from harness.config import RunConfig, read_config
from harness.decoding.loop import decode as real_decode
from harness.launch.data_parallel import Processes, run_data_parallel
from harness.records.files import CALIBRATION
from harness.run import Outcome, run
from harness.vocabulary import EXIT_OK
from tests.helpers.checkpoint_folders import write_prompts

pytestmark = pytest.mark.usefixtures("blank_charts")

Configure = Callable[..., RunConfig]
BEST = {"mtp": 2, "dflash": 6, "lookup": 1}


@pytest.fixture
def configure(pair: dict[str, str], tmp_path: Path) -> Configure:
    def make(candidates: Any, mtp: dict[str, Any] | None = None, prompts: int = 2, **options: Any) -> RunConfig:
        composed = {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", prompts)},
            "drafters": {
                "mtp": {"path": pair["mtp"], **(mtp or {})}, "dflash": {"path": pair["dflash"]}, "lookup": {},
                "random": {},
            },
            "drafter": ["mtp", "dflash", "lookup", "random"],
            "calibration": {"num_draft_tokens": candidates, "prompts": (prompts + 1) // 2, "max_new_tokens": 6},
            "max_new_tokens": 8,
            "costs": False,
        }  # fmt: skip
        return read_config({**composed, **options})

    return make


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, int]]:
    """Decoding whose time per token is the distance from BEST; what was decoded as (drafter, k, prompts, tokens)."""
    calls: list[tuple[str, int, int, int]] = []

    def decode(target: Any, drafter: Any, tokens: Any, settings: Any, **options: Any) -> Any:
        found = real_decode(target, drafter, tokens, settings, **options)
        name = "baseline" if drafter is None else drafter.name
        calls.append((name, settings.k, len(tokens), settings.max_new_tokens))
        for each in found:
            each.decode_s = (1 + abs(settings.k - BEST.get(name, settings.k))) * (len(each.token_ids) - 1)
        return found

    monkeypatch.setattr("harness.comparison.arms.decode", decode)
    return calls


def arms(outcome: Outcome) -> dict[str, Any]:
    manifest = json.loads((outcome.run_dir / "manifest.json").read_text(encoding="utf-8"))
    return {arm["name"]: arm for arm in manifest["arms"]}


def test_every_arm_runs_at_its_own_fastest_k(
    configure: Configure, tmp_path: Path, clocked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(configure([6, 1, 2, 40]), tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    used = {name: arm["num_draft_tokens"] for name, arm in arms(outcome).items()}
    assert used == {"baseline": 0, **BEST, "random": 4}
    assert arms(outcome)["dflash"]["chosen_among"] == [1, 2, 6], "40 is more than its block holds"
    rows = [json.loads(line) for line in (tmp_path / "run" / "generations.jsonl").read_text().splitlines()]
    assert {(row["arm"], row["num_draft_tokens"]) for row in rows} == set(used.items())
    assert "calibration: dflash drafts 6 tokens (tok/s: k=1 0.2, k=2 0.2, k=6 1.0)" in capsys.readouterr().err


def test_it_is_short_and_warm(
    configure: Configure, tmp_path: Path, clocked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.comparison.arms.WARM_UP_ROUNDS", 3)
    run(configure([1, 2], drafter="mtp", prompts=6), tmp_path / "run")
    first_run = next(index for index, (name, *_) in enumerate(clocked) if name == "baseline")
    one_k = [("prompts", 1, 6)] * 4  # a start that does not count, then three prompts of six tokens
    assert [("prompts", count, tokens) for _, _, count, tokens in clocked[:first_run]] == one_k * 2
    assert [k for _, k, _, _ in clocked[:first_run]] == [1] * 4 + [2] * 4


def test_a_second_start_keeps_the_choice(
    configure: Configure, tmp_path: Path, clocked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure([1, 2, 6], drafter=["mtp", "lookup"])
    first = run(config, tmp_path / "run")
    monkeypatch.setattr(calibration, "measure", lambda *_: pytest.fail("measured again"))
    again = run(config, tmp_path / "run")
    assert arms(again) == arms(first)


def test_the_choice_of_a_run_outlives_its_file(configure: Configure, tmp_path: Path, clocked: list[Any]) -> None:
    """Another choice would be another run, and its records could not be continued."""
    config = configure([1, 2, 6], drafter=["mtp"])
    run(config, tmp_path / "run")
    path = tmp_path / "run" / CALIBRATION
    for damage in ("", "{}", None):
        path.unlink() if damage is None else path.write_text(damage)
        clocked.clear()
        assert run(config, tmp_path / "run").exit_code == EXIT_OK
        assert clocked == [], f"neither calibrated nor decoded again after {damage}"


def test_a_refused_run_leaves_the_choice_alone(configure: Configure, tmp_path: Path, clocked: list[Any]) -> None:
    run(configure([1, 2, 6], drafter=["mtp"]), tmp_path / "run")
    before = (tmp_path / "run" / CALIBRATION).read_bytes()
    clocked.clear()
    with pytest.raises(InputError, match="chosen_among"):
        run(configure([1, 3], drafter=["mtp"]), tmp_path / "run")
    assert (tmp_path / "run" / CALIBRATION).read_bytes() == before
    assert clocked == []


def test_a_k_that_is_set_is_kept(configure: Configure) -> None:
    plan = preflight(configure([1, 2], mtp={"num_draft_tokens": 5}))
    assert {arm.name: (arm.k, arm.candidates) for arm in plan.arms} == {
        "mtp": (5, ()), "dflash": (2, (1, 2)), "lookup": (2, (1, 2)), "random": (4, ()),
    }  # fmt: skip


def test_a_candidate_that_fails_is_not_chosen(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def decode(target: Any, drafter: Any, tokens: Any, settings: Any, **options: Any) -> Any:
        if settings.k == 2:
            raise RuntimeError("out of memory")
        return real_decode(target, drafter, tokens, settings, **options)

    monkeypatch.setattr("harness.comparison.arms.decode", decode)
    outcome = run(configure([1, 2], drafter="mtp"), tmp_path / "run")
    assert arms(outcome)["mtp"]["num_draft_tokens"] == 1
    assert json.loads((tmp_path / "run" / CALIBRATION).read_text())["mtp"]["tokens_per_s"]["2"] is None
    assert "calibration of mtp at k=2 failed: RuntimeError: out of memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, r"calibration\.num_draft_tokens=\[\]: expected a list of whole numbers from 1 on"),
        ({"candidates": [0, 2]}, r"calibration\.num_draft_tokens=\[0, 2\]: expected"),
        ({"candidates": [2], "calibration": {"prompts": 0}}, r"calibration\.prompts=0: expected 1 or more"),
        ({"candidates": [2], "calibration": {"max_new_tokens": 1}}, r"calibration\.max_new_tokens=1: expected 2"),
    ],
)
def test_settings_that_make_no_sense(configure: Configure, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        configure(**change)


def test_a_block_too_small_for_every_candidate(configure: Configure) -> None:
    with pytest.raises(InputError, match=r"num_draft_tokens=\[16, 20\]: expected one of 15 or less, .* dflash drafts"):
        preflight(configure([20, 16]))


def test_processes_that_share_a_run_cannot_each_choose(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"calibration\.num_draft_tokens=\[1, 2\] with 2 processes"):
        run_data_parallel(Processes(0, 2), configure([1, 2]), tmp_path)
