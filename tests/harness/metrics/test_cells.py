"""Every figure against its definition: examples worked by hand, identities on random rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.cells import cell_metrics, check_rounds, per_position, position_counts
from tests.helpers.record_tables import record, steps, tables


def cell(cells: pd.DataFrame, arm: str, category: str = "all") -> dict[str, Any]:
    rows = cells[(cells["arm"] == arm) & (cells["category"] == category)]
    assert len(rows) == 1
    return {str(name): value for name, value in rows.iloc[0].items()}


@st.composite
def rounds_of_a_drafter(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Rounds with unequal drafted counts whose emitted count is cut at times."""
    drafted = draw(st.lists(st.integers(0, 6), min_size=1, max_size=30))
    accepted = [draw(st.integers(0, d)) for d in drafted]
    emitted = [draw(st.integers(1, a + 1)) for a in accepted]
    return list(zip(drafted, accepted, emitted, strict=True))


def test_eos_inside_an_accepted_block_counts_five_accepted_and_three_emitted() -> None:
    # Drafts [t, t, EOS, t, t] all accepted, plus a bonus: the answer ends after three.
    cells = cell_metrics(*tables([record("p", "mtp", [(5, 5, 3)])]))
    row = cell(cells, "mtp")
    assert (row["accepted"], row["emitted"], row["tokens"]) == (5, 3, 4)
    assert row["acceptance_length"] == 3.0
    assert row["acceptance_rate"] == 1.0
    assert row["al_as_vllm"] == row["al_as_specbench"] == 6.0
    assert row["al_as_dflash"] == 3.0
    assert row["al_as_gptfast"] == 5.0
    assert row["verified_slots_used"] == 3 / 6


def test_the_prefill_token_is_in_no_round() -> None:
    # 64 output tokens, one from prefill and 63 in 16 rounds.
    rounds = [(7, 3, 4)] * 15 + [(7, 2, 3)]
    row = cell(cell_metrics(*tables([record("p", "mtp", rounds)])), "mtp")
    assert (row["tokens"], row["rounds"]) == (64, 16)
    assert row["acceptance_length"] == pytest.approx(63 / 16)
    assert round(row["acceptance_length"], 2) == 3.94
    assert row["al_as_specforge"] == 4.0


def test_pooled_and_mean_over_prompts_differ_when_answers_differ_in_length() -> None:
    long, short = [(4, 4, 5)] * 9, [(4, 0, 1)]
    row = cell(cell_metrics(*tables([record("p", "mtp", long), record("q", "mtp", short)])), "mtp")
    assert row["acceptance_length"] == 46 / 10
    assert row["acceptance_length_prompt_mean"] == (5 + 1) / 2


def test_repeats_and_turns_of_a_prompt_are_pooled_before_the_mean_over_prompts() -> None:
    records = [
        record("p", "mtp", [(4, 4, 5)], turn=0),
        record("p", "mtp", [(4, 1, 2)] * 3, turn=1),
        record("q", "mtp", [(4, 0, 1)]),
    ]
    row = cell(cell_metrics(*tables(records)), "mtp")
    assert row["acceptance_length_prompt_mean"] == pytest.approx((11 / 4 + 1) / 2)
    assert row["al_as_dflash"] == pytest.approx((5 + 2 + 1) / 3)


def test_a_position_counts_only_the_rounds_that_drafted_so_far() -> None:
    rounds = [(1, 1, 2), (3, 2, 3), (3, 0, 1), (0, 0, 1)]
    row = cell(cell_metrics(*tables([record("p", "lookup", rounds)])), "lookup")
    assert row["position_rounds"] == [3, 2, 2]
    assert row["position_unconditional"] == [2 / 3, 1 / 2, 0.0]
    # Position 2: one of the two rounds that drafted so far had accepted position 1, and it accepted 2 as well.
    assert row["position_conditional"] == [2 / 3, 1.0, 0.0]
    assert row["al_as_vllm"] == 1 + 3 / 3
    assert row["al_as_specbench"] == 1 + 3 / 4


@given(rounds_of_a_drafter())
@settings(max_examples=20, deadline=None)
def test_identities_of_raw_counts(rounds: list[tuple[int, int, int]]) -> None:
    drafted, accepted, _ = (np.array(column) for column in zip(*rounds, strict=True))
    row = cell(cell_metrics(*tables([record("p", "mtp", rounds)])), "mtp")
    positions = per_position(position_counts(drafted, accepted))
    share_that_drafted_so_far = positions["position_rounds"] / len(rounds)
    mean_accepted = (positions["position_unconditional"] * share_that_drafted_so_far).sum()
    assert mean_accepted == pytest.approx(accepted.mean())
    assert row["acceptance_length_raw"] == pytest.approx(1 + accepted.mean())
    assert row["acceptance_length"] <= row["acceptance_length_raw"] + 1e-12
    if drafted.sum():
        assert row["acceptance_rate"] * row["mean_drafted"] == pytest.approx(accepted.mean())
    assert 0 < row["verified_slots_used"] <= 1
    assert row["al_as_gptfast"] + 1 == pytest.approx(row["al_as_specbench"])


@given(st.integers(1, 8), st.data())
@settings(max_examples=100, deadline=None)
def test_identities_when_every_round_drafts_k(k: int, data: st.DataObject) -> None:
    accepted = np.array(data.draw(st.lists(st.integers(0, k), min_size=1, max_size=40)))
    positions = per_position(position_counts(np.full_like(accepted, k), accepted))
    unconditional = positions["position_unconditional"].to_numpy()
    assert unconditional.sum() == pytest.approx(accepted.mean())
    joint = np.cumprod(positions["position_conditional"].fillna(0).to_numpy())
    assert joint == pytest.approx(unconditional)
    assert np.all(np.diff(unconditional) <= 1e-12)


@given(st.lists(rounds_of_a_drafter(), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_all_is_the_categories_together(outputs: list[list[tuple[int, int, int]]]) -> None:
    records = [
        record(f"p{index}", "mtp", rounds, category=f"kind {index % 2}", num_draft_tokens=6)
        for index, rounds in enumerate(outputs)
    ]
    cells = cell_metrics(*tables(records))
    whole, parts = cell(cells, "mtp"), cells[cells["category"] != "all"]
    for name in ("prompts", "generations", "rounds", "tokens", "drafted", "accepted", "emitted"):
        assert whole[name] == parts[name].sum()
    together = [round for rounds in outputs for round in rounds]
    drafted, accepted, _ = (np.array(column) for column in zip(*together, strict=True))
    expected = per_position(position_counts(drafted, accepted))
    assert whole["position_rounds"] == expected["position_rounds"].tolist()
    assert whole["position_unconditional"] == pytest.approx(expected["position_unconditional"].tolist())


def test_costs_are_in_decode_steps_of_the_same_cell() -> None:
    records = [
        record("p", "baseline", steps(12), seconds=(0.0, 0.009, 0.001)),
        record("p", "mtp", [(3, 2, 3)] * 4, seconds=(0.004, 0.012, 0.002)),
    ]
    cells = cell_metrics(*tables(records))
    base, row = cell(cells, "baseline"), cell(cells, "mtp")
    assert base["decode_step_ms"] == row["decode_step_ms"] == pytest.approx(10.0)
    assert [row[f"c_{part}"] for part in ("draft", "verify", "other")] == pytest.approx([0.4, 1.2, 0.2])
    assert row["predicted_speedup"] == pytest.approx(3 / 1.8)
    assert base["predicted_speedup"] == pytest.approx(1.0)
    assert row["decode_tok_s"] == pytest.approx(12 / 0.072)
    assert row["end_to_end_tok_s"] == pytest.approx(13 / 0.172)
    assert row["ttft_ms"] == pytest.approx(100.0)
    assert row["unattributed_share"] == pytest.approx(0.0)


def test_throughput_counts_the_tokens_of_all_rows_in_the_time_of_the_batch() -> None:
    records = [record(name, "mtp", [(3, 2, 3)] * 4, seconds=(0.004, 0.012, 0.002)) for name in "pq"]
    for _, generation in records:
        generation["wall_share_s"] = 0.2 / 2  # both were decoded in the same 0.2 s
    assert cell(cell_metrics(*tables(records)), "mtp")["throughput_tok_s"] == pytest.approx(26 / 0.2)
    records[0][1]["wall_share_s"] = None
    assert np.isnan(cell(cell_metrics(*tables(records)), "mtp")["throughput_tok_s"]), "never guessed from a part"


def test_a_slower_drafter_shows_in_draft_time_and_nowhere_else() -> None:
    quick = record("p", "mtp", [(3, 2, 3)] * 4, seconds=(0.004, 0.012, 0.002))
    slow = record("p", "mtp", [(3, 2, 3)] * 4, seconds=(0.024, 0.012, 0.002))
    before, after = (cell(cell_metrics(*tables([one])), "mtp") for one in (quick, slow))
    assert after["draft_ms"] - before["draft_ms"] == pytest.approx(20.0)
    for name in ("verify_ms", "other_ms", "ttft_ms", "unattributed_share", "acceptance_length"):
        assert after[name] == pytest.approx(before[name])


def test_an_error_is_counted_and_enters_no_figure() -> None:
    lost = record("q", "mtp", [(4, 0, 1)], status="error", error="out of memory", token_ids=[])
    cells = cell_metrics(*tables([record("p", "mtp", [(4, 4, 5)]), lost]))
    row = cell(cells, "mtp")
    assert (row["errors"], row["prompts"], row["generations"], row["rounds"]) == (1, 1, 1, 1)
    assert row["acceptance_length"] == 5.0
    assert row["position_rounds"] == [1, 1, 1, 1]


def test_an_arm_whose_every_generation_failed_is_still_a_row() -> None:
    lost = record("q", "mtp", [], status="error", error="out of memory", token_ids=[], num_draft_tokens=4)
    row = cell(cell_metrics(*tables([record("p", "baseline", steps(3)), lost])), "mtp")
    assert (row["errors"], row["generations"], row["verdict"]) == (1, 0, "none")
    assert np.isnan(row["acceptance_length"])


def test_verdicts_are_counted_and_the_worst_is_named() -> None:
    kinds = ["exact", "tie", "exact", None]
    records = [record(f"p{i}", "mtp", [(2, 1, 2)], verdict=kind) for i, kind in enumerate(kinds)]
    row = cell(cell_metrics(*tables(records)), "mtp")
    assert [row[f"verdict_{name}"] for name in ("exact", "tie", "mismatch", "none")] == [2, 1, 0, 1]
    assert row["verdict"] == "tie"
    records.append(record("p9", "mtp", [(2, 1, 2)], verdict="mismatch"))
    assert cell(cell_metrics(*tables(records)), "mtp")["verdict"] == "mismatch"


def test_memory_is_the_peak_and_its_difference_from_the_baseline() -> None:
    records = [
        record("p", "baseline", steps(3), peak_memory_bytes=1000),
        record("p", "mtp", [(2, 1, 2)], peak_memory_bytes=1200),
        record("q", "mtp", [(2, 1, 2)], peak_memory_bytes=1500),
    ]
    row = cell(cell_metrics(*tables(records)), "mtp")
    assert (row["peak_memory_bytes"], row["peak_memory_over_baseline_bytes"]) == (1500, 500)


def test_scores_are_averaged_over_the_generations_that_have_one() -> None:
    scores = [1.0, 0.0, None]
    records = [record(f"p{i}", "mtp", [(2, 1, 2)], score=score) for i, score in enumerate(scores)]
    row = cell(cell_metrics(*tables(records)), "mtp")
    assert (row["accuracy"], row["scored"]) == (0.5, 2)


def test_draft_lengths_and_batch_sizes_are_cells_of_their_own() -> None:
    records = [
        record("p", "baseline", steps(3), batch_size=1),
        record("p", "mtp", [(2, 1, 2)], batch_size=1),
        record("q", "baseline", steps(3), batch_size=4, category="sums"),
        record("q", "mtp", [(5, 1, 2)], batch_size=4, category="sums"),
    ]
    cells = cell_metrics(*tables(records))
    found = cells.loc[cells["category"] == "all", ["batch_size", "arm", "num_draft_tokens"]].values.tolist()
    assert found == [[1, "baseline", 0], [1, "mtp", 2], [4, "baseline", 0], [4, "mtp", 5]]


def test_several_draft_lengths_of_one_prompt_need_rounds_with_their_length() -> None:
    rounds, generations = tables([record("p", "mtp", [(2, 1, 2)]), record("p", "mtp", [(5, 1, 2)])])
    with pytest.raises(ValueError, match="more than once"):
        cell_metrics(rounds, generations)
    counted = rounds.assign(num_draft_tokens=[2, 5])
    assert cell_metrics(counted, generations).query("category == 'all'")["num_draft_tokens"].tolist() == [2, 5]


def test_a_category_called_all_is_not_counted_twice() -> None:
    cells = cell_metrics(*tables([record("p", "mtp", [(2, 1, 2)], category="all")]))
    assert cells["category"].tolist() == ["all", "all (category)"]
    assert cells["rounds"].tolist() == [1, 1]


def test_a_prompt_that_ends_at_prefill_has_no_rounds_and_breaks_nothing() -> None:
    row = cell(
        cell_metrics(*tables([record("p", "mtp", [], num_draft_tokens=4), record("q", "mtp", [(4, 3, 4)])])), "mtp"
    )
    assert (row["prompts"], row["rounds"], row["tokens"]) == (2, 1, 6)
    assert row["acceptance_length"] == row["acceptance_length_prompt_mean"] == 4.0


def test_figures_per_round_rest_on_generations_with_rounds() -> None:
    known = record("p", "mtp", [(4, 3, 4), (4, 1, 2)], (0.001, 0.009, 0.0), engine="vllm", num_draft_tokens=4)
    unknown = record("q", "mtp", [], engine="vllm", num_draft_tokens=4, token_ids=list(range(100)), decode_s=9.0)
    row = cell(cell_metrics(*tables([known, unknown])), "mtp")
    assert (row["tokens"], row["unreported"], row["rounds"]) == (107, 99, 2)
    assert row["al_as_specforge"] == 7 / 2
    assert row["unattributed_share"] == pytest.approx(0.0)


def test_no_records_give_no_rows() -> None:
    rounds, generations = tables([record("p", "mtp", [(2, 1, 2)])])
    assert len(cell_metrics(rounds.iloc[:0], generations.iloc[:0])) == 0


@pytest.mark.parametrize("wrong", [(2, 3, 1), (2, -1, 1), (2, 1, 0), (2, 1, 3)])
def test_impossible_counts_are_refused_with_the_round_named(wrong: tuple[int, int, int]) -> None:
    rounds, _ = tables([record("p7", "mtp", [(2, 1, 2), wrong])])
    with pytest.raises(ValueError, match=r"prompt p7, arm mtp, round 1: drafted 2"):
        check_rounds(rounds)


def test_rounds_without_a_generation_are_refused() -> None:
    rounds, generations = tables([record("p", "mtp", [(2, 1, 2)]), record("q", "mtp", [(2, 1, 2)])])
    with pytest.raises(ValueError, match=r"1 rounds have no generation.*'q'"):
        cell_metrics(rounds, generations.iloc[:1])


def test_times_of_a_stopped_generation_enter_no_figure_and_its_tokens_do() -> None:
    fast = [record(f"p{i}", arm, [(4, 2, 3)] * 10) for i in range(2) for arm in ("baseline", "mtp")]
    hit = record("p2", "mtp", [(4, 4, 5)] * 10, (0.0, 1.2, 0.0), taint="stopped")
    late = record("p3", "mtp", [(4, 2, 3)] * 10, taint="busy")
    cells = cell_metrics(*tables([*fast, record("p2", "baseline", [(4, 2, 3)] * 10), hit, late]))
    row = cells[(cells["arm"] == "mtp") & (cells["category"] == "all")].iloc[0]
    assert (row["generations"], row["tainted"], row["untimed"], row["rounds"]) == (4, 2, 1, 40)
    assert row["decode_tok_s"] == pytest.approx(300)
    assert row["verify_ms"] == pytest.approx(10)
    assert row["end_to_end_tok_s"] == pytest.approx(31 / 0.2)
    assert row["unattributed_share"] == pytest.approx(0)
    assert row["acceptance_length"] == pytest.approx(140 / 40)
    assert row["tokens"] == 3 * 31 + 51


def test_a_cell_of_stopped_generations_has_no_times() -> None:
    cells = cell_metrics(*tables([record("p", "mtp", [(4, 2, 3)] * 10, taint="buffered", wall_share_s=0.1)]))
    row = cells.iloc[0]
    assert cells[["decode_tok_s", "throughput_tok_s", "ttft_ms", "verify_ms"]].iloc[0].isna().all()
    assert (row["untimed"], row["generations"]) == (1, 1)
