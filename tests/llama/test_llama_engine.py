"""llama.cpp's worker beside the harness on both embedded families: the same greedy tokens and the same rounds."""

from __future__ import annotations

import pytest

from benchmarks.conformance.llama_cpp_pair import ARMS, FAMILIES, PROMPTS, judge
from harness.config import RunConfig
from harness.records.frames import read_generations
from harness.run import Outcome
from harness.vocabulary import EXIT_OK

pytestmark = pytest.mark.llama

each_family = pytest.mark.parametrize(
    "decoded", [pytest.param(one, marks=pytest.mark.xdist_group(one)) for one in FAMILIES], indirect=True
)
Decoded = tuple[RunConfig, Outcome]


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
