"""The table of one row per generation: its index, types, and the values of what was not reported or not timed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.metrics.cells import generation_index, per_generation, per_position, position_counts
from tests.helpers.record_tables import record, tables


def table_of_three() -> pd.DataFrame:
    """A generation with rounds, one whose engine reported none, one that a machine's disturbance left untimed."""
    rounds, generations = tables(
        [
            record("p", "mtp", [(4, 3, 4), (4, 1, 2)], (0.001, 0.009, 0.002)),
            record("q", "mtp", [], engine="vllm", token_ids=list(range(100)), decode_s=9.0),
            record("r", "mtp", [(4, 0, 1)], (0.001, 0.009, 0.002), taint="stopped"),
        ]
    )
    generations.index = pd.Index([7, 3, 5])
    return per_generation(rounds, generations)


def test_rows_are_numbered_anew_and_no_column_holds_the_old_numbers() -> None:
    table = table_of_three()
    assert table.index.tolist() == [0, 1, 2]
    assert "index" not in table


def test_counts_are_integers_and_times_are_floats() -> None:
    table = table_of_three()
    counts = ["rounds", "drafted", "accepted", "emitted", "unreported", "drafting_rounds", "tokens_with_rounds"]
    counts += ["timed_new_tokens", "timed_rounds", "repeated", "ngrams"]
    assert {name: table[name].dtype.kind for name in counts} == dict.fromkeys(counts, "i")
    times = ["draft_s", "verify_s", "other_s", "decode_s_with_rounds"]
    assert {name: table[name].dtype.kind for name in times} == dict.fromkeys(times, "f")


def test_rounds_that_an_engine_does_not_report_have_no_times() -> None:
    table = table_of_three()
    assert table["unreported"].tolist() == [0, 99, 0]
    assert table["tokens_with_rounds"].tolist() == [7, 0, 2]
    assert table["decode_s_with_rounds"].fillna(-1.0).tolist() == [pytest.approx(0.024), 0.0, -1.0]
    assert table["draft_s"].isna().tolist() == [False, True, True]
    assert table["draft_s"][0] == pytest.approx(0.002)


def test_untimed_generations_count_no_timed_token() -> None:
    table = table_of_three()
    assert table["timed"].tolist() == [True, True, False]
    assert table["timed_new_tokens"].tolist() == [7, 100, 0]
    assert table["timed_rounds"].tolist() == [2, 0, 0]


def test_tables_without_tokens_hold_no_8_grams() -> None:
    rounds, generations = tables([record("p", "mtp", [(4, 3, 4)])])
    table = per_generation(rounds, generations.drop(columns="token_ids"))
    assert (table["repeated"].tolist(), table["ngrams"].tolist()) == ([0], [0])


def test_a_round_without_a_generation_is_found_by_any_part_of_its_key() -> None:
    # The arm is unknown, and its prompt before it and its turn after it are not.
    rounds, _ = tables([record("p", "mtp", [(4, 3, 4)]), record("q", "other", [(4, 3, 4)])])
    _, generations = tables([record("p", "mtp", [(4, 3, 4)]), record("q", "mtp", [(4, 3, 4)])])
    with pytest.raises(ValueError, match=r"1 rounds have no generation, the first: .*'other'"):
        generation_index(rounds, generations)


@pytest.mark.filterwarnings("error")
def test_a_position_that_no_round_reached_is_unknown_without_a_warning() -> None:
    positions = per_position(position_counts(np.array([2, 2]), np.array([0, 0])))
    assert positions["position"].tolist() == [1, 2]
    assert positions["position_unconditional"].tolist() == [0.0, 0.0]
    assert positions["position_conditional"].fillna(-1.0).tolist() == [0.0, -1.0]
