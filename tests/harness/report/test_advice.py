"""Advice from runs: an arm, `none`, `either`, or the reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.advise import main
from harness.report.advice.advice import EITHER, NONE, advise
from harness.report.advice.settings import ENGINES, Files, settings
from harness.report.advice.words import spread
from tests.helpers.generated_runs import ArmShape, write_run

FAST = ArmShape(4, 0.95, 0.99, 0.002, 0.0322)
SLOW = ArmShape(4, 0.50, 0.95, 0.006, 0.0322)
HEAVY = ArmShape(4, 0.30, 0.95, 0.030, 0.060)


def made(folder: Path, arms: dict[str, ArmShape], **options: Any) -> Path:
    """A run of the generator that passes for a measured one."""
    return write_run(folder, arms=arms, manifest={"synthetic": None}, **options)


def test_the_faster_arm_is_named_with_its_interval(tmp_path: Path) -> None:
    (one,) = advise([made(tmp_path, {"mtp": SLOW, "dflash": FAST})])
    assert (one.arm, one.k, one.abstains) == ("dflash", 4, None)
    assert one.low and one.high and 1 < one.low < (one.speedup or 0) < one.high


def test_overlapping_intervals_leave_it_open(tmp_path: Path) -> None:
    (one,) = advise([made(tmp_path, {"mtp": FAST, "dflash": FAST})])
    assert (one.arm, one.k, one.abstains) == (EITHER, None, None)


def test_no_drafter_that_slows_decoding_is_recommended(tmp_path: Path) -> None:
    (one,) = advise([made(tmp_path, {"mtp": HEAVY})])
    assert (one.arm, one.k, one.speedup, one.abstains) == (NONE, 0, 1.0, None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mismatches": 1}, "does not reproduce"),
        ({"prompts": 4}, "too few prompts"),
        ({"manifest": {}}, "synthetic"),
        ({"arms": {}}, "no trained drafter"),
    ],
)
def test_a_void_run_gives_a_reason_and_no_arm(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    given = {"arms": {"dflash": FAST}, "manifest": {"synthetic": None}, **options}
    (one,) = advise([write_run(tmp_path, **given)])
    assert one.arm is None and one.abstains and reason in one.abstains


def test_runs_of_two_conditions_are_not_taken_together(tmp_path: Path) -> None:
    made(tmp_path / "a", {"dflash": FAST})
    write_run(tmp_path / "b", arms={"dflash": FAST}, manifest={"synthetic": None, "target": {"dtype": "bfloat16"}})
    (one,) = advise([tmp_path])
    assert one.abstains and "differ in dtype" in one.abstains


def test_the_last_line_is_json_with_these_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(made(tmp_path, {"dflash": FAST}))]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert list(json.loads(printed[-1])) == ["arm", "k", "speedup", "low", "high", "abstains"]
    assert "Use DFlash at k=4" in "\n".join(printed)


def test_a_folder_without_a_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2 and str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["mtp", "dflash"])
def test_every_engine_gets_its_own_names_and_k(kind: str) -> None:
    made = {one.engine: one.text for one in settings(kind, "T", "a path/D", 6)}
    assert tuple(made) == ENGINES
    assert f'"method": "{kind}"' in made["vllm"] and '"num_speculative_tokens": 6' in made["vllm"]
    assert "--speculative-num-draft-tokens 7" in made["sglang"] and "'a path/D'" in made["sglang"]
    assert f"--spec-type draft-{kind} --spec-draft-n-max 6" in made["llama_cpp"]


def test_an_unknown_kind_gets_no_setting() -> None:
    assert {one.text for one in settings("lookup", "T", None, 4)} == {""}


def test_llama_cpp_gets_the_files_that_a_run_names_and_commands_for_the_others() -> None:
    known = settings("mtp", "T", "D", 4, Files("t.gguf", "d.gguf"))[-1].text
    assert known.startswith("llama-server -m t.gguf -md d.gguf --spec-type draft-mtp")
    half = settings("mtp", "T", "D", 4, Files("t.gguf"))[-1].text.splitlines()
    assert half[0] == "python -m harness.export gguf D --out DRAFTER.gguf --target T"
    assert half[1].startswith("llama-server -m t.gguf -md DRAFTER.gguf")
    assert settings("none", "T", None, 0, Files("t.gguf"))[-1].text == "llama-server -m t.gguf"


def test_advice_says_what_its_intervals_hold_of_other_processes(tmp_path: Path) -> None:
    (one,) = advise([made(tmp_path, {"dflash": FAST})])
    assert "in one process: the variation from run to run is not in them" in spread(one)
    run = one.runs[0]
    for row in run.summary["rows"]:
        row |= {"processes": 3, "speedup_decode_run_spread": 0.04}
    run.summary["run_to_run"] = {"processes": 3, "earlier": []}
    assert "3 fresh processes" in spread(one) and "vary by" in spread(one)
