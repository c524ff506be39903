"""vLLM and the harness on the embedded pair: the same greedy tokens, the same acceptance, one report."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conformance.pair import compare, counters_of
from benchmarks.conformance.vllm_pair import ENVIRONMENT, OPTIONS, both_engines
from harness.records.frames import read_generations, read_rounds
from harness.run import Outcome, run
from harness.vocabulary import ASSETS, EXIT_OK, VLLM

pytestmark = pytest.mark.vllm

PROMPTS, NEW_TOKENS = 4, 24
ARMS = ("baseline", "mtp", "dflash", "lookup")
START_S = 900.0


@pytest.fixture(scope="module")
def outcome(python: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run with both engines; a vLLM process takes its time to start, so all tests look at this one."""
    config = both_engines(PROMPTS, NEW_TOKENS, ARMS, {"python": python})
    return run(config, tmp_path_factory.mktemp("runs") / "both")


def test_greedy_tokens_are_equal_in_both_engines_for_every_arm(outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    generations = read_generations(outcome.run_dir)
    tokens = {(row.prompt_id, row.arm): row.token_ids for row in generations.itertuples()}
    assert len(tokens) == PROMPTS * 2 * len(ARMS)
    for (prompt, arm), found in tokens.items():
        assert found == tokens[prompt, "baseline"], (prompt, arm)
    assert set(generations.loc[generations["arm"] != "baseline", "verdict"]) == {"exact"}


def test_acceptance_is_equal_round_by_round_under_equal_conventions(outcome: Outcome) -> None:
    rounds = read_rounds(outcome.run_dir)
    columns = ["prompt_id", "position", "drafted", "accepted", "emitted"]
    for arm in ("mtp", "dflash"):
        ours, theirs = (rounds.loc[rounds["arm"] == name, columns] for name in (arm, f"vllm_{arm}"))
        order = ["prompt_id", "position"]
        assert theirs.sort_values(order).values.tolist() == ours.sort_values(order).values.tolist(), arm


def test_rounds_and_vllms_own_counters_agree(outcome: Outcome) -> None:
    rows, wrong = compare(outcome.run_dir, ARMS, VLLM)
    assert wrong == []
    assert all(row["metrics"] for row in rows if row["arm"] != "baseline")


def test_the_table_holds_both_engines_and_leaves_empty_what_vllm_does_not_tell(outcome: Outcome) -> None:
    rows = {row["arm"]: row for row in outcome.summary["rows"] if row["category"] == "all"}
    assert set(rows) == {*ARMS, *(f"vllm_{arm}" for arm in ARMS)}
    for arm in ("mtp", "dflash"):
        ours, theirs = rows[arm], rows[f"vllm_{arm}"]
        for name in ("acceptance_length", "acceptance_rate", "position_unconditional", "tokens", "rounds"):
            assert theirs[name] == ours[name], (arm, name)
        assert theirs["decode_tok_s"] > 0 and theirs["ttft_ms"] > 0
        assert theirs["draft_ms"] is None and theirs["verify_ms"] is None and theirs["peak_memory_bytes"] is None


# -- a server ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A vLLM server with the MTP assistant, on the loopback address, ended with all it started."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "server.log"
    speculative = {"method": "mtp", "model": str(ASSETS / "mtp"), "num_speculative_tokens": 4}
    command = [
        # `vllm serve` asks for the version of a package named vllm, and the CPU build is named otherwise.
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(ASSETS / "target"), "--host", "127.0.0.1",
        "--port", str(port), "--dtype", "float32", "--max-model-len", "512", "--max-num-seqs", "4",
        "--no-enable-prefix-caching", "--speculative-config", json.dumps(speculative),
        *(f"--{name.replace('_', '-')}" for name in OPTIONS),
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **ENVIRONMENT}, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_S
    try:
        while not answers(url):
            said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def server_run(url: str, folder: Path, **options: Any) -> Outcome:
    """The server's MTP arm against the harness's baseline and MTP arm."""
    config = both_engines(PROMPTS, NEW_TOKENS, ("baseline", "mtp"), {"url": url})
    for name, value in options.items():
        setattr(config, name, value)
    return run(config, folder)


def test_a_server_gives_the_same_tokens_and_its_counters_become_the_same_rounds(server: str, tmp_path: Path) -> None:
    found = server_run(server, tmp_path / "server")
    generations = read_generations(found.run_dir)
    assert set(generations["status"]) == {"ok"}
    tokens = {(row.prompt_id, row.arm): row.token_ids for row in generations.itertuples()}
    for (prompt, arm), answer in tokens.items():
        assert answer == tokens[prompt, "baseline"], (prompt, arm)
    rounds = read_rounds(found.run_dir)
    assert counters_of(rounds, "vllm_mtp", 4) == counters_of(rounds, "mtp", 4)
    described = json.loads((found.run_dir / "engines.json").read_text(encoding="utf-8"))
    assert described["vllm_mtp"]["url"] == server and described["vllm_mtp"]["versions"]["vllm"]


def test_at_higher_concurrency_a_server_tells_counters_for_the_run_only(server: str, tmp_path: Path) -> None:
    found = server_run(server, tmp_path / "together", batch_size=PROMPTS)
    generations = read_generations(found.run_dir)
    theirs = generations[generations["arm"] == "vllm_mtp"]
    assert len(theirs) == PROMPTS and theirs["engine_counters"].isna().all()
    described = json.loads((found.run_dir / "engines.json").read_text(encoding="utf-8"))
    assert described["vllm_mtp"]["counters"]["num_drafts"] > 0
    row = next(r for r in found.summary["rows"] if r["category"] == "all" and r["arm"] == "vllm_mtp")
    assert row["acceptance_length"] is None and row["decode_tok_s"] > 0
