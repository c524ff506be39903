"""Advice from runs: an arm, `none`, `either`, or the reason why there is none."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.advise import main
from harness.report.advice.advice import EITHER, NONE, advise
from harness.report.advice.settings import ENGINES, Deployed, Drafting, Setting, settings
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


HERE = Deployed("a path/T", "float32", "cpu", 64, (1, 6))
THERE = Deployed("org/T", "bfloat16", "cuda:0")


def texts(deployed: Deployed, kind: str, k: int = 6, **conventions: Any) -> dict[str, Setting]:
    return {one.engine: one for one in settings(deployed, Drafting(kind, "a path/D", k, conventions))}


@pytest.mark.parametrize("kind", ["mtp", "dflash"])
def test_every_engine_gets_its_own_names_and_k(kind: str) -> None:
    made = {name: one.text for name, one in texts(HERE, kind).items()}
    assert tuple(made) == ENGINES
    assert f'"method": "{kind}"' in made["vllm"] and '"num_speculative_tokens": 6' in made["vllm"]
    assert "--speculative-num-draft-tokens 7" in made["sglang"] and "'a path/D'" in made["sglang"]
    assert f"--spec-type draft-{kind} --spec-draft-n-max 6" in made["llama_cpp"]
    assert ("block_size=7" if kind == "dflash" else "num_assistant_tokens = 6") in made["transformers"]


@pytest.mark.parametrize("kind", ["mtp", "dflash", None])
def test_the_program_for_transformers_names_nothing_that_it_does_not_make(kind: str | None) -> None:
    drafting = None if kind is None else Drafting(kind, "D", 6)
    names = [node for node in ast.walk(ast.parse(settings(HERE, drafting)[0].text)) if isinstance(node, ast.Name)]
    made = {one.id for one in names if isinstance(one.ctx, ast.Store)} | {"print"}
    imported = {"AutoModelForCausalLM", "AutoTokenizer", "DFlashDraftModel", "dflash_generate"}
    assert {one.id for one in names} <= made | imported


@pytest.mark.parametrize("drafting", [None, Drafting("mtp", "D", 6), Drafting("dflash", "D", 6)])
def test_every_engine_computes_in_the_dtype_of_the_run(drafting: Drafting | None) -> None:
    made = {one.engine: one.text for one in settings(HERE, drafting)}
    assert "dtype='float32'" in made["transformers"]
    assert all("--dtype float32" in made[engine] for engine in ("vllm", "sglang"))  # vLLM would cast it to bfloat16
    assert "--type f32" in made["llama_cpp"] and "--cache-type-k f32" in made["llama_cpp"]
    there = settings(THERE, drafting)[3].text
    assert "--cache-type" not in there and "--type bf16" in there


def test_a_server_on_a_cpu_starts_beside_other_processes_and_without_the_command_that_its_build_breaks() -> None:
    here, there = (texts(one, "dflash")["vllm"].text for one in (HERE, THERE))
    assert here.startswith("python -m vllm.entrypoints.openai.api_server --model 'a path/T'")
    assert "--gpu-memory-utilization 0.3" in here and "--gpu-memory-utilization" not in there
    assert there.startswith("vllm serve org/T --dtype bfloat16")


def test_an_engine_with_other_conventions_than_the_run_says_so() -> None:
    ours = {"position": "anchor", "strict_window": True, "ordered_head": False}
    made = texts(HERE, "mtp", **ours)
    assert "position anchor-1, not anchor" in made["vllm"].note
    assert "acceptance" not in made["llama_cpp"].note and "acceptance" not in texts(HERE, "mtp")["vllm"].note


def test_a_head_that_no_cpu_build_runs_gets_no_text_there() -> None:
    assert not texts(HERE, "mtp", ordered_head=True)["vllm"].text
    assert texts(THERE, "mtp", ordered_head=True)["vllm"].text and texts(HERE, "mtp", ordered_head=False)["vllm"].text


def test_an_unknown_kind_gets_no_setting() -> None:
    assert {one.text for one in texts(HERE, "lookup").values()} == {""}


def test_llama_cpp_gets_the_files_that_a_run_names_and_commands_for_the_others() -> None:
    known = texts(replace(THERE, target_gguf="t.gguf", drafter_gguf="d.gguf"), "mtp")["llama_cpp"].text
    assert known.startswith("llama-server --model t.gguf --spec-draft-model d.gguf --spec-type draft-mtp")
    half = texts(replace(THERE, target_gguf="t.gguf"), "mtp")["llama_cpp"].text.splitlines()
    assert half[0] == "python -m harness.export gguf 'a path/D' --out DRAFTER.gguf --type bf16 --target org/T"
    assert half[1].startswith("llama-server --model t.gguf --spec-draft-model DRAFTER.gguf")
    assert settings(replace(THERE, target_gguf="t.gguf"), None)[-1].text == "llama-server --model t.gguf"


def test_advice_about_one_arm_leaves_the_others_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, {"mtp": SLOW, "dflash": FAST})
    (one,) = advise([tmp_path], "mtp")
    assert (one.arm, one.k) == ("mtp", 4) and len(one.candidates) == 1
    assert main([str(tmp_path), "--arm", "mpt"]) == 2
    assert "--arm mpt: no run has such an arm, expected one of dflash, mtp" in capsys.readouterr().err


def test_advice_says_what_its_intervals_hold_of_other_processes(tmp_path: Path) -> None:
    (one,) = advise([made(tmp_path, {"dflash": FAST})])
    assert "in one process: the variation from run to run is not in them" in spread(one)
    run = one.runs[0]
    for row in run.summary["rows"]:
        row |= {"processes": 3, "speedup_decode_run_spread": 0.04}
    run.summary["run_to_run"] = {"processes": 3, "earlier": []}
    assert "3 fresh processes" in spread(one) and "vary by" in spread(one)
