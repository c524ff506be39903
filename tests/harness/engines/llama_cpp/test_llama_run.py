"""A run through llama.cpp has the files of any other; the server here is a small program that counts upwards."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from drafters.errors import InputError
from harness.config import RunConfig, read_config
from harness.engines.arms import EngineArms
from harness.engines.llama_cpp.engine import SCRIPT
from harness.engines.worker import WorkerProcess
from harness.run import run
from harness.vocabulary import EXIT_ARM_FAILED, EXIT_MISMATCH, EXIT_OK
from tests.helpers import fake_llama
from tests.helpers.checkpoint_folders import write_prompts
from tests.helpers.fake_llama import FakeLlama, server_of
from tests.helpers.fake_server import running
from tests.helpers.gguf_bytes import stand_in

pytestmark = pytest.mark.usefixtures("blank_charts")

Configure = Callable[..., RunConfig]


@pytest.fixture
def configure(pair: dict[str, str], tmp_path: Path) -> Configure:
    """A run with files of which nobody reads more than the header: the fake has no model."""
    binary = tmp_path / "llama-server"
    binary.write_text(f"#!{sys.executable}\n{Path(fake_llama.__file__).read_text(encoding='utf-8')}", encoding="utf-8")
    binary.chmod(0o755)
    kinds = {"target": "gemma4", "mtp": "gemma4-assistant", "dflash": "dflash"}
    files = {name: str(stand_in(tmp_path, kind, Path(pair["target"]))) for name, kind in kinds.items()}

    def make(engine: dict[str, Any] | None = None, fault: str = "", **options: Any) -> RunConfig:
        chosen = {"name": "llama_cpp", "binary": str(binary), "environment": {"FAKE_LLAMA": fault}, **(engine or {})}
        composed = {
            "target": {"path": pair["target"], "dtype": "float32", "device": "cpu", "gguf": files["target"]},
            "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", 3, 1)},
            "engine": chosen,
            "drafters": {name: {"path": pair[name], "gguf": files[name]} for name in ("mtp", "dflash")}
            | {"oracle": {}},
            "drafter": ["mtp"],
            "num_draft_tokens": 3,
            "max_new_tokens": 9,
        }
        return read_config({**composed, **options})

    return make


def outcome_rows(folder: Path) -> list[dict[str, Any]]:
    """The last row of each generation."""
    return list({(row["prompt_id"], row["arm"]): row for row in rows_of(folder)}.values())


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "generations.jsonl").read_text(encoding="utf-8").splitlines()]


def survivors(folder: Path) -> list[int]:
    """Processes whose command names the folder."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]


def test_a_started_server_decodes_every_arm_and_is_gone_afterwards(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure(drafter=["mtp", "lookup"]), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    rows = rows_of(tmp_path / "run")
    assert [row["arm"] for row in rows] == ["baseline"] * 3 + ["mtp"] * 3 + ["lookup"] * 3
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {"exact"}
    described = json.loads((tmp_path / "run" / "engines.json").read_text(encoding="utf-8"))
    assert described["mtp"]["settings"]["spec_draft_p_min"] == 0.0
    assert described["lookup"]["settings"]["spec_ngram_simple_size_n"] == 3
    row = next(row for row in outcome.summary["rows"] if row["arm"] == "mtp" and row["category"] == "all")
    assert row["acceptance_rate"] == pytest.approx(4 / 10)
    assert survivors(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refuse", "program ended with code 3"),
        ("die", "out of memory, says the fake"),
        ("short", "the server ends drafts early"),
    ],
)
def test_an_arm_that_fails_is_error_rows_and_the_others_go_on(
    configure: Configure, tmp_path: Path, fault: str, message: str
) -> None:
    outcome = run(configure(fault=fault), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    failed = [row for row in rows_of(tmp_path / "run") if row["status"] == "error"]
    assert failed and all(message in row["error"] for row in failed)
    if fault == "short":
        assert {row["arm"] for row in failed} == {"mtp"}


def test_a_continued_run_completes_the_error_rows(configure: Configure, tmp_path: Path) -> None:
    assert run(configure(fault="short"), tmp_path / "run").exit_code == EXIT_ARM_FAILED
    config, binary = configure(fault="short", retry_errors=True), tmp_path / "llama-server"
    repaired = binary.read_text(encoding="utf-8").replace('os.environ.get("FAKE_LLAMA", "")', '""')
    binary.write_text(repaired, encoding="utf-8")
    outcome = run(config, tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    assert {row["verdict"] for row in outcome_rows(tmp_path / "run") if row["arm"] == "mtp"} == {"exact"}


def test_a_killed_worker_is_error_rows_and_takes_its_server_with_it(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, killed = EngineArms.decode, []

    def killing(arms: EngineArms, arm: str, *rest: Any) -> Any:
        if arm == "mtp" and not killed:
            killed.append(arms.session.worker.process.pid)  # type: ignore[union-attr]
            os.killpg(killed[0], signal.SIGKILL)  # the server too
        return decode(arms, arm, *rest)

    monkeypatch.setattr(EngineArms, "decode", killing)
    run(configure(), tmp_path / "run")
    failed = [row for row in rows_of(tmp_path / "run") if row["status"] == "error"]
    assert [row["arm"] for row in failed] == ["mtp"]
    assert survivors(tmp_path) == []
    outcome = run(configure(retry_errors=True), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    assert all(row["status"] == "ok" for row in outcome_rows(tmp_path / "run"))


def test_a_server_does_not_outlive_the_harness(configure: Configure, tmp_path: Path) -> None:
    """The kernel closes the worker's stdin when the harness is gone, however it ended."""
    binary = str(configure().engine.binary)
    worker = WorkerProcess(sys.executable, SCRIPT, {}, tmp_path / "log", "llama.cpp")
    worker.ask("load", command=[binary])
    assert len(survivors(tmp_path)) == 1
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    worker.process.wait(10)
    assert survivors(tmp_path) == []
    worker.close()


def test_a_server_that_is_killed_leaves_the_other_arms_and_is_asked_again_later(
    configure: Configure, tmp_path: Path
) -> None:
    with running(server_of(FakeLlama())) as plain:
        with running(server_of(FakeLlama(3, "draft-mtp"))) as drafting:
            pass  # gone before the run
        urls = {"baseline": plain, "mtp": drafting}
        assert run(configure({"binary": None, "url": urls}), tmp_path / "run").exit_code == EXIT_ARM_FAILED
        failed = [row for row in rows_of(tmp_path / "run") if row["status"] == "error"]
        assert {row["arm"] for row in failed} == {"mtp"} and all("does not answer" in row["error"] for row in failed)
        with running(server_of(FakeLlama(3, "draft-mtp"), int(drafting.rpartition(":")[2]))):
            outcome = run(configure({"binary": None, "url": urls}, retry_errors=True), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)


def test_other_tokens_than_the_baselines_are_a_mismatch(configure: Configure, tmp_path: Path) -> None:
    assert run(configure(fault="lossy"), tmp_path / "run").exit_code == EXIT_MISMATCH


def test_running_servers_decode_the_arms_they_are_there_for(configure: Configure, tmp_path: Path) -> None:
    with running(server_of(FakeLlama())) as plain, running(server_of(FakeLlama(3, "draft-mtp"))) as drafting:
        config = configure({"binary": None, "url": {"baseline": plain, "mtp": drafting}})
        outcome = run(config, tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    assert len(rows_of(tmp_path / "run")) == 6


def test_exact_weights_are_judged_against_the_harness_and_other_weights_against_their_own(
    configure: Configure, tmp_path: Path
) -> None:
    verdicts = {}
    for ftype in ("all F32", "Q8_0"):
        fakes = FakeLlama(ftype=ftype), FakeLlama(3, "draft-mtp", ftype=ftype)
        with running(server_of(fakes[0])) as plain, running(server_of(fakes[1])) as drafting:
            urls = {"baseline": plain, "mtp": drafting}
            folder = tmp_path / ftype.replace(" ", "_")
            outcome = run(configure({"binary": None, "url": urls, "beside": True}), folder)
        rows = {row["arm"]: row for row in rows_of(folder)}
        verdicts[ftype] = [rows[f"llama_cpp_{arm}"]["verdict"] for arm in ("baseline", "mtp")]
        assert outcome.exit_code == (EXIT_MISMATCH if ftype == "all F32" else EXIT_OK)
    assert verdicts == {"all F32": ["mismatch", "mismatch"], "Q8_0": ["none", "exact"]}  # the fake has its own tokens
    detail = rows["llama_cpp_baseline"]["verdict_detail"]
    assert detail["harness"]["verdict"] == "mismatch" and "Q8_0" in detail["reason"]


@pytest.mark.parametrize(
    ("options", "engine", "message"),
    [
        ({}, {"options": {"model": "x"}}, r"engine\.options\.model=x: expected target\.gguf"),
        ({}, {"speculative": {"mtp": {"spec_draft_p_min": 0.5}}}, r"spec_draft_p_min=0\.5: expected .*stop=p_min"),
        ({}, {"speculative": {"mtp": {"spec_type": "ngram"}}}, "expected one of ngram-simple"),
        ({}, {"options": {"flash_attn": "maybe"}}, "expected on, off or auto"),
        ({}, {"weights": "q3"}, r"engine\.weights=q3: expected one of f32"),
        ({}, {"binary": "/nowhere/llama-server"}, "no such program, expected a llama-server"),
        ({"drafter": "oracle"}, {}, "llama.cpp has no oracle drafter"),
        ({"decoding": {"temperature": 1.0, "verification": "match"}}, {}, "llama.cpp promises"),
    ],
)
def test_settings_that_llama_cpp_cannot_run_are_refused_before_it_starts(
    configure: Configure, tmp_path: Path, options: dict[str, Any], engine: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(configure(engine, **options), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("target", b"", r"^target\.gguf: \S+ is cut off"),
        ("target", "dflash", r"^target\.gguf: .*architecture is 'dflash', a DFlash.*; expected gemma4 \(a target\)"),
        ("target", {"block_count": 2}, r"^target\.gguf: .* is another model: its layers is 2, expected 3"),
        ("mtp", "target", r"^drafters\.mtp\.gguf: .*architecture is 'gemma4', a target; expected gemma4-assistant"),
        ("mtp", {"embedding_length_out": 7}, r"^drafters\.mtp\.gguf: the drafter's embedding_length_out is 7"),
        ("dflash", {"target_layers": [3]}, r"^drafters\.dflash\.gguf: the drafter taps layer 2, the target's last"),
        ("dflash", {"block_size": 3}, r"^drafters\.dflash\.gguf: the file drafts up to 2 tokens, but .*=3 is asked"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_starts(
    configure: Configure, pair: dict[str, str], tmp_path: Path, name: str, file: Any, message: str
) -> None:
    config = configure(drafter=["mtp", "dflash"])
    kinds = {"target": "gemma4", "mtp": "gemma4-assistant", "dflash": "dflash"}
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "file.gguf"
    if isinstance(file, bytes):
        other.write_bytes(file)
    elif isinstance(file, str):
        other = stand_in(other.parent, kinds[file], Path(pair["target"]))
    else:
        other = stand_in(other.parent, kinds[name], Path(pair["target"]), **file)
    if name == "target":
        config.target.gguf = str(other)
    else:
        config.arms = tuple(replace(arm, gguf=str(other)) if arm.name == name else arm for arm in config.arms)
    with pytest.raises(InputError, match=message):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "generations.jsonl").exists()


@pytest.mark.parametrize("beside", [False, True])
def test_a_layout_that_llama_cpp_computes_otherwise_is_refused_before_anything_starts(
    configure: Configure, pair: dict[str, str], tmp_path: Path, beside: bool
) -> None:
    folder = tmp_path / "biased"
    folder.mkdir()
    raw = json.loads((Path(pair["dflash"]) / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(raw | {"attention_bias": True}), encoding="utf-8")
    config = configure({"beside": beside}, drafters={"dflash": {"path": str(folder)}}, drafter=["dflash"])
    with pytest.raises(InputError, match=r"^drafters\.dflash\.path: attention_bias is true, .* has no place for$"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "generations.jsonl").exists()


def test_a_context_that_is_too_small_fails_the_arm(configure: Configure, tmp_path: Path) -> None:
    outcome = run(configure({"options": {"ctx_size": 10}}), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    assert all("ctx_size=10: 10 tokens for each of 1 prompts" in row["error"] for row in rows_of(tmp_path / "run"))
