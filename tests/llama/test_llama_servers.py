"""The wheel's real server under every kind of lookup, in slots, quantised, with other weights, and killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file, save_file

from benchmarks.conformance.llama_cpp_pair import FAMILIES, both_engines
from benchmarks.conformance.llama_ways import drafting, serving
from benchmarks.conformance.wheel_server import install
from harness.engines.arms import EngineArms
from harness.engines.gguf.kept import exported
from harness.engines.gguf.write import export
from harness.engines.llama_cpp.settings import NGRAMS
from harness.engines.worker import EngineError
from harness.records.frames import read_generations, read_rounds
from harness.run import run
from harness.vocabulary import ASSETS, EXIT_MISMATCH, EXIT_OK

pytestmark = pytest.mark.llama

MTP, DFLASH = {"mtp": ("mtp", 4)}, {"dflash": ("dflash", 15)}
FAMILY = FAMILIES["embedded"]


@pytest.fixture
def program(tmp_path: Path) -> str:
    return install(tmp_path)


def verdicts(folder: Path, arm: str) -> set[str]:
    rows = read_generations(folder)
    return set(rows.loc[rows["arm"] == arm, "verdict"])


def test_a_killed_server_is_error_rows_that_another_at_its_address_completes(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, model = EngineArms.decode, str(exported(FAMILY / "target"))
    assisted = {"model": model, **drafting(FAMILY, "mtp", 4)}
    with serving(program, model=model) as (baseline, _):
        with serving(program, **assisted) as (mtp, doomed):

            def killing(arms: EngineArms, arm: str, *rest: Any) -> Any:
                made = decode(arms, arm, *rest)
                if arm == "llama_cpp_mtp":  # after its first prompt
                    doomed.kill()
                    doomed.wait()
                return made

            monkeypatch.setattr(EngineArms, "decode", killing)
            config = both_engines("embedded", 3, 48, MTP, {"url": {"baseline": baseline, "mtp": mtp}})
            run(config, tmp_path / "run")
        rows = read_generations(tmp_path / "run")
        failed = rows[rows["status"] == "error"]
        assert list(failed["arm"]) == ["llama_cpp_mtp"] * 2 and all("does not answer" in one for one in failed["error"])
        monkeypatch.undo()
        config.retry_errors = True
        with serving(program, port=int(mtp.rpartition(":")[2]), **assisted):
            found = run(config, tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    assert verdicts(found.run_dir, "llama_cpp_mtp") == verdicts(found.run_dir, "llama_cpp_baseline") == {"exact"}


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
    config = both_engines("embedded", 3, 32, MTP)
    run(config, tmp_path / "run")
    errors = read_generations(tmp_path / "run")["error"].dropna()
    assert len(errors) == 1 and EngineError.__name__ in errors.iloc[0]
    config.retry_errors = True
    assert run(config, tmp_path / "run").exit_code == EXIT_OK
    described = json.loads((tmp_path / "run" / "engines.json").read_text(encoding="utf-8"))
    assert described["llama_cpp_mtp"]["versions"]["xllamacpp"]
    assert not psutil.pid_exists(killed[0])


def test_prompts_in_slots_beside_each_other_keep_tokens_and_rounds(tmp_path: Path) -> None:
    found = run(both_engines("embedded", 6, 64, MTP, batch_size=3), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rounds = read_rounds(found.run_dir)
    assert len(rounds[rounds["arm"] == "llama_cpp_mtp"])


def test_every_kind_of_lookup_keeps_the_tokens(tmp_path: Path) -> None:
    arms = {kind.replace("-", "_"): ("lookup", 4) for kind in NGRAMS}
    speculative = {arm: {"spec_type": kind} for arm, kind in zip(arms, NGRAMS, strict=True)}
    found = run(both_engines("embedded", 3, 64, arms, {"speculative": speculative}), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rounds = read_rounds(found.run_dir)
    assert {f"llama_cpp_{arm}" for arm in arms} <= set(rounds.loc[rounds["drafted"] > 0, "arm"])


def test_quantised_weights_are_judged_against_their_own_baseline(tmp_path: Path) -> None:
    found = run(both_engines("embedded", 7, 64, MTP | DFLASH, {"weights": "q8_0"}), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rows = read_generations(found.run_dir)
    own = rows[rows["arm"] == "llama_cpp_baseline"]
    assert set(own["verdict"]) == {"none"}
    assert all("Q8_0" in detail["reason"] and detail["harness"]["verdict"] for detail in own["verdict_detail"])
    assert verdicts(found.run_dir, "llama_cpp_mtp") == verdicts(found.run_dir, "llama_cpp_dflash") == {"exact"}


def test_other_weights_of_the_same_shapes_end_with_a_mismatch(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in (ASSETS / "target").iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    tensors = load_file(changed / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layers.0.mlp.down_proj.weight"))
    tensors[name] = -tensors[name]
    save_file(tensors, changed / "model.safetensors", {"format": "pt"})
    config = both_engines("embedded", 3, 48, MTP)
    config.target.gguf = str(export(changed, tmp_path / "other.gguf").path)
    assert run(config, tmp_path / "run").exit_code == EXIT_MISMATCH
