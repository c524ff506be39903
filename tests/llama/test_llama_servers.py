"""The wheel's real server in each of the three ways, under every kind of lookup, in slots, quantised, and killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file, save_file

from benchmarks.conformance.llama_cpp_pair import both_engines
from harness.engines.arms import EngineArms
from harness.engines.gguf.write import export
from harness.engines.llama_cpp.script import HOST, wait_for
from harness.engines.llama_cpp.settings import as_flags
from harness.engines.worker import EngineError
from harness.records.frames import read_generations, read_rounds
from harness.run import run
from harness.vocabulary import ASSETS, EXIT_MISMATCH, EXIT_OK
from tests.helpers.wheel_server import install

pytestmark = pytest.mark.llama

MTP, DFLASH = {"mtp": ("mtp", 4)}, {"dflash": ("dflash", 15)}
SERVED = {
    "ctx_size": 1024, "parallel": 1, "threads": 1, "threads_batch": 1, "cache_type_k": "f32", "cache_type_v": "f32",
    "flash_attn": "off", "cache_prompt": False, "cache_ram": 0, "metrics": True,
}  # fmt: skip
DRAFTING = {
    "spec_type": "draft-mtp", "spec_draft_n_max": 4, "spec_draft_n_min": 0, "spec_draft_p_min": 0.0,
    "spec_draft_type_k": "f32", "spec_draft_type_v": "f32", "spec_draft_threads": 1, "spec_draft_threads_batch": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The embedded target and its assistant as files."""
    folder = tmp_path_factory.mktemp("files")
    target = ASSETS / "target"
    made = {name: export(ASSETS / name, folder / f"{name}.gguf", "f32", target) for name in ("target", "mtp")}
    return {name: str(one.path) for name, one in made.items()}


@pytest.fixture
def program(tmp_path: Path) -> str:
    return install(tmp_path)


@contextmanager
def serving(program: str, port: int, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A running llama-server at a port of the loopback address."""
    flags = as_flags({**SERVED, **settings})
    started = subprocess.Popen([program, *flags, "--host", HOST, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for(started, f"http://{HOST}:{port}")
        yield started
    finally:
        started.kill()
        started.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def running_below(folder: Path) -> list[str]:
    """Command lines of processes that name the folder."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


def verdicts(folder: Path, arm: str) -> set[str]:
    rows = read_generations(folder)
    return set(rows.loc[rows["arm"] == arm, "verdict"])


def test_a_started_binary_gives_the_harness_tokens_and_is_gone_afterwards(tmp_path: Path, program: str) -> None:
    config = both_engines("embedded", 3, 48, MTP | DFLASH, {"binary": program})
    found = run(config, tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    rounds = read_rounds(found.run_dir)
    for arm in ("llama_cpp_mtp", "llama_cpp_dflash"):
        assert verdicts(found.run_dir, arm) == {"exact"} and len(rounds[rounds["arm"] == arm])
    assert running_below(Path(program).parent) == []


def test_running_servers_give_the_harness_tokens_and_a_killed_one_is_error_rows(
    tmp_path: Path, program: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports, decode = free_ports(2), EngineArms.decode
    urls = {arm: f"http://{HOST}:{port}" for arm, port in zip(("baseline", "mtp"), ports, strict=True)}
    config = both_engines("embedded", 3, 48, MTP, {"url": urls})
    assisted = {"spec_draft_model": files["mtp"], **DRAFTING}
    with serving(program, ports[0], model=files["target"]):
        with serving(program, ports[1], model=files["target"], **assisted) as doomed:

            def killing(arms: EngineArms, arm: str, *rest: Any) -> Any:
                made = decode(arms, arm, *rest)
                if arm == "llama_cpp_mtp":  # after its first prompt
                    doomed.kill()
                    doomed.wait()
                return made

            monkeypatch.setattr(EngineArms, "decode", killing)
            run(config, tmp_path / "run")
        rows = read_generations(tmp_path / "run")
        failed = rows[rows["status"] == "error"]
        assert list(failed["arm"]) == ["llama_cpp_mtp"] * 2 and all("does not answer" in one for one in failed["error"])
        monkeypatch.undo()
        config.retry_errors = True
        with serving(program, ports[1], model=files["target"], **assisted):
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


@pytest.mark.parametrize("kind", ["ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache"])
def test_every_kind_of_lookup_keeps_the_tokens(kind: str, tmp_path: Path) -> None:
    speculative = {"speculative": {"lookup": {"spec_type": kind}}}
    found = run(both_engines("embedded", 3, 64, {"lookup": ("lookup", 4)}, speculative), tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)


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
