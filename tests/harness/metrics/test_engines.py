"""Engines side by side: speedups over each one's own and over the fastest baseline, acceptance under one counting."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.engines import as_counted, engines_of, partings
from harness.report.engine_words import acceptance_text, engine_lines

ENGINE_OF = {"baseline": "harness", "mtp": "harness", "x_baseline": "x", "x_mtp": "x"}


def test_tokens_past_the_end_are_not_accepted() -> None:
    assert as_counted([(4, 2, 3), (4, 3, 2)], 99) == [(4, 2, 3), (4, 1, 2)]
    assert as_counted([(4, 3, 3)], 99) == [(4, 2, 3)]


def test_an_end_token_that_was_the_last_draft_is_accepted() -> None:
    assert as_counted([(4, 4, 4)], 99) == [(4, 4, 4)]
    assert as_counted([(1, 1, 1)], 99) == [(1, 1, 1)]


def test_a_draft_near_the_limit_is_no_longer_than_what_can_be_emitted() -> None:
    assert as_counted([(4, 2, 3), (4, 4, 4)], 8) == [(4, 2, 3), (3, 3, 4)]
    assert as_counted([(4, 4, 5), (4, 0, 1)], 7) == [(4, 4, 5), (0, 0, 1)]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted), max_size=9), st.integers(0, 20))
def test_rounds_that_nothing_cut_stay_as_they_are(made: list[list[int]], spare: int) -> None:
    rounds = [(drafted, accepted, accepted + 1) for accepted, drafted in made]
    limit = 10 + sum(emitted for *_, emitted in rounds) + spare
    assert as_counted(rounds, limit) == rounds


def tables(prompts: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of five tokens: the harness counts two drafts past the end token, the other engine none."""
    generations, rounds = [], []
    for number in range(prompts):
        for arm, engine in ENGINE_OF.items():
            about = {"dataset": "d", "batch_size": 1, "status": "ok", "finish_reason": "eos"}
            about |= {"new_tokens": 5, "taint": "", "verdict_detail": None}
            about["num_draft_tokens"] = 4 if "mtp" in arm else 0
            generations.append({"prompt_id": str(number), "arm": arm, "engine": engine, **about})
        for arm, accepted in (("mtp", 3), ("x_mtp", 1)):
            for position, counts in ((9, (4, 1, 2)), (11, (4, accepted, 2))):
                counted = dict(zip(("drafted", "accepted", "emitted"), counts, strict=True))
                rounds.append({"prompt_id": str(number), "arm": arm, "position": position, **counted})
    return pd.DataFrame(rounds), pd.DataFrame(generations)


def pair(arm: str, other: str, value: float) -> dict[str, object]:
    return {
        "category": "all", "dataset": "d", "batch_size": 1, "arm": arm, "other": other, "speedup_decode": value,
        "speedup_decode_low": value / 1.1, "speedup_decode_high": value * 1.1,
    }  # fmt: skip


PAIRS = [pair("mtp", "baseline", 2.0), pair("x_baseline", "baseline", 4.0), pair("x_baseline", "x_mtp", 0.8),
         pair("x_baseline", "mtp", 2.0), pair("x_mtp", "baseline", 5.0)]  # fmt: skip


def test_each_engine_is_held_against_its_own_baseline_and_against_the_fastest() -> None:
    mtp, theirs = engines_of(*tables(), PAIRS)
    assert (mtp["own_baseline"], mtp["own_speedup"]) == ("baseline", 2.0)
    assert (mtp["fastest_baseline"], mtp["speedup_over_fastest"]) == ("x_baseline", 0.5)
    assert (theirs["own_baseline"], theirs["own_speedup"]) == ("x_baseline", pytest.approx(1.25))
    assert theirs["own_speedup_low"] < 1.25 < theirs["own_speedup_high"]
    assert mtp["acceptance"] is None


def test_what_is_counted_past_the_end_stands_apart_from_what_is_drafted_otherwise() -> None:
    found = engines_of(*tables(), PAIRS)[1]["acceptance"]
    assert (found["rate"], found["other_rate"], found["past_end"]) == (4 / 8, 2 / 8, 2 / 8)
    assert (found["difference"], found["difference_low"], found["difference_high"]) == (0, 0, 0)
    assert [one["rate"] for one in found["positions"]] == [1, 0, 0, 0]
    text = acceptance_text(found)
    assert "25.0 points are counted past the end token" in text and "the difference is +0.0 points" in text


def test_a_run_with_one_engine_has_no_such_rows() -> None:
    rounds, generations = tables()
    assert engines_of(rounds, generations[generations["engine"] == "harness"], PAIRS) == []
    assert engines_of(rounds, generations.assign(status="error"), PAIRS) == []
    assert engine_lines({}) == []


def test_pairs_without_a_ratio_leave_the_speedups_empty() -> None:
    row = engines_of(*tables(), [pair("mtp", "baseline", float("nan"))])[0]
    assert row["own_speedup"] is None and row["acceptance"] is None


def test_answers_of_other_weights_say_where_they_part() -> None:
    _, generations = tables()
    generations = generations.astype({"verdict_detail": object})
    for index in generations.index[generations["arm"] == "x_baseline"]:
        generations.at[index, "verdict_detail"] = {"reason": "Q8_0", "harness": {"verdict": "mismatch", "index": 3}}
    (found,) = partings(generations)
    assert (found["arm"], found["answers"], found["parted"], found["first"]) == ("x_baseline", 6, 6, 3.0)
    (line,) = engine_lines({"partings": [found]})
    assert line == "x_baseline and the harness's baseline part in 6 of 6 answers, at token 3 in the middle; Q8_0"
