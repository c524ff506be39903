"""The binary and the running servers run llama.cpp alone and must repeat what its worker gave beside the harness."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from benchmarks.conformance.llama_cpp_pair import ARMS, FAMILIES, PROMPTS, both_engines
from benchmarks.conformance.llama_ways import differences, through
from harness.config import RunConfig
from harness.run import Outcome, run
from harness.vocabulary import EXIT_OK

pytestmark = pytest.mark.llama

#: Ways of a family share a process with its run, but for one that takes as long as the smaller family's.
GROUPS = {("embedded", "url"): "embedded by URL"}


def running_below(folder: Path) -> list[str]:
    """Command lines of processes that name the folder."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize(
    ("decoded", "way"),
    [pytest.param(family, way, marks=pytest.mark.xdist_group(GROUPS.get((family, way), family)))
     for family in FAMILIES for way in ("binary", "url")],
    indirect=["decoded"],
)  # fmt: skip
def test_every_way_gives_the_same_tokens_and_rounds_and_leaves_no_process(
    decoded: tuple[RunConfig, Outcome], tmp_path: Path, way: str
) -> None:
    config, beside = decoded
    family = config.target.name
    with through(way, FAMILIES[family], ARMS, tmp_path) as engine:
        alone = both_engines(family, PROMPTS[family], config.max_new_tokens, engine={"beside": False, **engine})
        found = run(alone, tmp_path / "run")
    assert (found.exit_code, found.error) == (EXIT_OK, None)
    assert differences(beside.run_dir, found.run_dir) == []
    assert running_below(tmp_path) == []
