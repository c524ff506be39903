"""llama.cpp and the harness on both embedded families: the same greedy tokens and the same rounds, by every way.

The worker runs beside the harness; the binary and the running servers run llama.cpp alone and must repeat the worker.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from benchmarks.conformance.llama_cpp_pair import ARMS, FAMILIES, PROMPTS, both_engines, judge
from benchmarks.conformance.llama_ways import differences, through
from harness.config import RunConfig
from harness.records.frames import read_generations
from harness.run import Outcome, run
from harness.vocabulary import EXIT_OK

pytestmark = pytest.mark.llama

NEW_TOKENS = 32  # the benchmark decodes 128
#: Tests of a family share a process, but for one that takes as long as the smaller family's.
GROUPS = {("embedded", "url"): "embedded by URL"}
each_family = pytest.mark.parametrize(
    "decoded", [pytest.param(one, marks=pytest.mark.xdist_group(one)) for one in FAMILIES], indirect=True
)
Decoded = tuple[RunConfig, Outcome]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pytest's processes share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="module")
def decoded(request: pytest.FixtureRequest, runs: Path) -> Decoded:
    """The run of a family: the first process that asks decodes it, another waits and finds it complete."""
    config = both_engines(request.param, PROMPTS[request.param], NEW_TOKENS)
    with FileLock(runs / f"{request.param}.lock"):
        return config, run(config, runs / request.param)


def running_below(folder: Path) -> list[str]:
    """Command lines of processes that name the folder."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


@each_family
def test_greedy_tokens_are_equal_in_both_engines_for_every_arm(decoded: Decoded) -> None:
    config, outcome = decoded
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    rows = read_generations(outcome.run_dir)
    tokens = {(row.prompt_id, row.arm): row.token_ids for row in rows.itertuples()}
    assert len(tokens) == PROMPTS[config.target.name] * 2 * (1 + len(ARMS))
    for (prompt, arm), found in tokens.items():
        assert found == tokens[prompt, "baseline"], (prompt, arm)
    assert set(rows.loc[rows["arm"] != "baseline", "verdict"]) == {"exact"}


@each_family
def test_rounds_part_only_where_the_drafters_two_best_tokens_tie(decoded: Decoded) -> None:
    """The counters of the server agree with its rounds, and those with the harness's, counted alike."""
    config, outcome = decoded
    rows, wrong = judge(config, outcome.run_dir)
    assert wrong == []
    assert all(row["llama_cpp"]["num_drafts"] and row["metrics"] for row in rows if row["arm"] in ARMS)


@each_family
def test_the_table_holds_both_engines_and_their_rounds(decoded: Decoded) -> None:
    rows = {row["arm"]: row for row in decoded[1].summary["rows"] if row["category"] == "all"}
    for arm in ARMS:
        assert rows[f"llama_cpp_{arm}"]["rounds"] > 0 and rows[f"llama_cpp_{arm}"]["acceptance_rate"] > 0
        assert rows[f"llama_cpp_{arm}"]["draft_ms"] is None


@pytest.mark.parametrize(
    ("decoded", "way"),
    [pytest.param(family, way, marks=pytest.mark.xdist_group(GROUPS.get((family, way), family)))
     for family in FAMILIES for way in ("binary", "url")],
    indirect=["decoded"],
)  # fmt: skip
def test_every_way_gives_the_same_tokens_and_rounds_and_leaves_no_process(
    decoded: Decoded, tmp_path: Path, way: str
) -> None:
    config, beside = decoded
    family = config.target.name
    with through(way, FAMILIES[family], ARMS, tmp_path) as engine:
        alone = both_engines(family, PROMPTS[family], NEW_TOKENS, engine={"beside": False, **engine})
        found = run(alone, tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    assert differences(beside.run_dir, found.run_dir) == []
    assert running_below(tmp_path) == []
