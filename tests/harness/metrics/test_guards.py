"""A guard marks every number that cannot be true, or that flatters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.comparison import throttling
from harness.comparison.throttling import read_clocks
from harness.metrics.binomial import at_least
from harness.metrics.cells import cell_metrics
from harness.metrics.clocks import ClockReading, clock_guards
from harness.metrics.evidence import ERROR_RATE, FULL_RATE
from harness.metrics.guards import Guard, cell_guards, worth_listing
from harness.metrics.repetition import repeated_ngrams
from tests.helpers.record_tables import record, steps, tables


def guards_of(records: list[Any], arm: str = "mtp", kinds: dict[str, str] | None = None) -> dict[str, Guard]:
    cells = cell_metrics(*tables(records))
    number = cells.index[(cells["arm"] == arm) & (cells["category"] == "all")][0]
    return {guard.code: guard for guard in cell_guards(cells, kinds)[number]}


def drafting(rounds: list[tuple[int, int, int]], arm: str = "mtp", prompts: int = 1, **fields: Any) -> list[Any]:
    fields = {"token_ids": list(range(1 + sum(emitted for _, _, emitted in rounds)))} | fields
    names = ["p", *(f"p{index}" for index in range(1, prompts))]
    return [one for name in names for one in (record(name, "baseline", steps(40)), record(name, arm, rounds, **fields))]


def test_an_honest_arm_has_no_guards() -> None:
    assert guards_of(drafting([(4, 2, 3)] * 13 + [(4, 0, 1)])) == {}


def test_nothing_drafted_is_an_error() -> None:
    found = guards_of(drafting([(0, 0, 1)] * 40))
    assert found["no_drafts"].severity == "error"
    assert "acceptance_zero" not in found


@pytest.mark.parametrize(
    ("rounds", "code", "severity"),
    [
        ([(4, 4, 5)] * 60, "acceptance_full", "error"),
        ([(4, 0, 1)] * 40, "acceptance_low", "error"),
        ([(7, 0, 1)] * 60 + [(7, 1, 2)], "acceptance_low", "warning"),  # slots read one off still hit now and then
    ],
)
def test_acceptance_of_hardly_all_or_nothing_is_doubted(
    rounds: list[tuple[int, int, int]], code: str, severity: str
) -> None:
    found = guards_of(drafting(rounds, prompts=3))
    assert {name: one.severity for name, one in found.items()} == {code: severity}
    assert found[code].arm == "mtp"


def test_a_low_acceptance_names_the_likely_reasons() -> None:
    rounds = [(7, 0, 1)] * 60 + [(7, 1, 2)]
    trained = guards_of(drafting(rounds, prompts=3))["acceptance_low"].message
    assert trained.startswith("1.016 tokens per round: the first draft was accepted in 3 of 183 rounds")
    assert all(word in trained for word in ("slot", "layers", "template", "checkpoint"))
    lookup = guards_of(drafting(rounds, "lookup", prompts=3), "lookup")["acceptance_low"]
    assert lookup.severity == "info"
    assert "nothing to copy" in lookup.message
    assert not any(word in lookup.message for word in ("slot", "checkpoint"))


@pytest.mark.parametrize(
    ("rounds", "prompts"),
    [
        ([(4, 4, 5)] * 7, 6),  # 28 drafted tokens of one prompt, all accepted, and the like
        ([(4, 4, 5)] * 200, 2),  # two prompts may be copies
        ([(4, 4, 5)] * 57, 3),  # 0.99 ** 684 is above one in a thousand
        ([(4, 4, 5)] * 60 + [(4, 1, 2)] * 2, 3),  # 97.6 % is an honest rate
        ([(4, 0, 1)] * 21, 3),  # 0.9 ** 63 likewise
        ([(4, 0, 1)] * 50 + [(4, 4, 5)] * 8, 3),  # 14 % of the first drafts
        ([(0, 0, 1)] * 9, 1),
    ],
)
def test_too_little_evidence_is_no_doubt(rounds: list[tuple[int, int, int]], prompts: int) -> None:
    assert guards_of(drafting(rounds, prompts=prompts)) == {}


def test_a_category_of_one_prompt_is_never_doubted_for_its_rate() -> None:
    records = [record(f"p{index}", "mtp", [(4, 2, 3)] * 300) for index in range(3)]
    records.append(record("copy", "mtp", [(4, 4, 5)] * 300, category="copies"))
    cells = cell_metrics(*tables(records))
    assert [guard for guards in cell_guards(cells) for guard in guards] == []


def test_honest_drafters_are_doubted_less_often_than_stated() -> None:
    """For the worst honest drafters, at the edges, the share of alarms stays below the tests' error rate."""
    rng = np.random.default_rng(0)
    trials, alarms = 4000, 0
    for accepted in rng.binomial(3000, FULL_RATE, size=trials):
        alarms += at_least(int(accepted), 3000, FULL_RATE) <= ERROR_RATE
    assert 0 < alarms <= 2 * trials * ERROR_RATE


def test_controls_are_recognised() -> None:
    oracle = guards_of(drafting([(4, 4, 5)] * 60, "perfect", prompts=3), "perfect", kinds={"perfect": "oracle"})
    assert set(oracle) == {"synthetic_acceptance"}
    chance = guards_of(drafting([(4, 0, 1)] * 40, "random", prompts=3), "random")
    assert chance["acceptance_low"].severity == "info"
    silent = guards_of(drafting([(0, 0, 1)] * 7, "lookup"), "lookup")
    assert silent["no_drafts"].severity == "info"
    assert "nothing to copy" in silent["no_drafts"].message


def test_a_loop_is_seen_in_the_tokens() -> None:
    looping = list(range(20)) + [1, 2, 3] * 40
    found = guards_of(drafting([(4, 2, 3)] * 46 + [(4, 0, 1)], token_ids=looping))
    assert found["repetition_loop"].severity == "warning"
    assert "1 outputs loop" in found["repetition_loop"].message


def test_repeated_ngrams_are_counted_within_each_sequence() -> None:
    once = list(range(30))
    repeated, total = repeated_ngrams([once, once, [5] * 20, [1, 2, 3], [], once + once])
    assert repeated.tolist() == [0, 0, 12, 0, 0, 23]
    assert total.tolist() == [23, 23, 13, 0, 0, 53]


def test_outputs_cut_at_the_limit_more_often_than_the_baselines() -> None:
    assert "truncation" not in guards_of(drafting([(4, 2, 3)] * 13, prompts=3, finish_reason="length"))
    found = guards_of(drafting([(4, 2, 3)] * 13, prompts=8, finish_reason="length"))
    assert "100% of the outputs are cut at the length limit, 0% of the baseline's" in found["truncation"].message


def test_few_prompts_for_the_interval_and_errors_and_mismatches() -> None:
    cells = cell_metrics(*tables(drafting([(4, 2, 3)] * 13, verdict="mismatch"))).assign(
        paired_prompts=6.0, unequal_token_prompts=0.0, errors=2
    )
    codes = {guard.code: guard.severity for guard in cell_guards(cells)[1]}
    assert codes == {"mismatch": "error", "errors": "warning", "few_prompts": "warning"}


@pytest.mark.parametrize(("rounds", "batch_size", "said"), [(50, 1, True), (49, 1, False), (50, 4, False)])
def test_time_outside_the_rounds_is_reported(rounds: int, batch_size: int, said: bool) -> None:
    """Not of a short decode, nor in a batch, where other rows are prefilled meanwhile."""
    records = drafting([(4, 2, 3)] * rounds, batch_size=batch_size)
    records[1][1]["decode_s"] *= 2
    found = guards_of(records)
    assert ("unattributed_time" in found) is said
    assert not said or "50% of the decode time" in found["unattributed_time"].message


def test_times_that_no_target_can_have_are_an_error() -> None:
    found = guards_of([record("p", "mtp", [(4, 2, 3)] * 50, (0.0, 5e-6, 0.0))])
    assert found["impossible_times"].severity == "error"
    assert "5.0 microseconds per round" in found["impossible_times"].message
    assert guards_of([record("p", "mtp", [(4, 2, 3)] * 50, (0.0, 2e-4, 0.0))]) == {}


def test_tainted_generations_are_counted_by_word() -> None:
    records = drafting([(4, 2, 3)] * 13, prompts=3)
    records[1][1]["taint"], records[3][1]["taint"] = "stopped", "busy"
    found = guards_of(records)
    assert found["tainted"].message.startswith("2 of 3 generations have doubtful times: 1 stopped (")
    assert "1 busy (" in found["tainted"].message
    assert guards_of(records, "baseline") == {}


def test_an_arm_without_any_pair_has_too_few() -> None:
    cells = cell_metrics(*tables(drafting([(4, 2, 3)] * 13))).assign(
        paired_prompts=float("nan"), unequal_token_prompts=float("nan")
    )
    assert [guard.message for guard in cell_guards(cells)[1]] == [
        "only 0 paired; the interval needs 10 prompts to be trusted"
    ]


def test_rounds_and_tokens_that_do_not_add_up_are_an_error() -> None:
    found = guards_of(drafting([(4, 2, 3)] * 13, token_ids=list(range(99))))
    assert found["inconsistent_records"].severity == "error"


def test_a_doubt_is_listed_once_and_a_category_alone_only_where_it_stands_out() -> None:
    def guard(code: str, category: str) -> Guard:
        return Guard(code, "warning", "m", "d", category, "mtp", 4, 1)

    found = [
        [guard("truncation", "all"), guard("few_prompts", "all")],
        [guard("truncation", "code"), guard("repetition_loop", "code")],
        [guard("few_prompts", "sums")],
    ]
    listed = [(one.code, one.category) for one in worth_listing(found)]
    assert listed == [("truncation", "all"), ("few_prompts", "all"), ("repetition_loop", "code")]


def test_throttled_clocks_are_named() -> None:
    steady = ClockReading(gpu_reasons=0x1, cpu_throttle_events=7)
    assert clock_guards([steady, steady]) == []
    assert clock_guards([]) == clock_guards([ClockReading()]) == []
    hot = ClockReading(gpu_reasons=0x40 | 0x4, cpu_throttle_events=9)
    messages = [guard.message for guard in clock_guards([steady, hot, steady, ClockReading(cpu_throttle_events=9)])]
    assert messages[0].startswith("the GPU reports power cap, hardware thermal slowdown")
    assert messages[1].startswith("the CPU was throttled 2 times")
    assert "unknown meaning (0x400)" in clock_guards([ClockReading(gpu_reasons=0x400 | 0x1)])[0].message


def test_a_gpu_with_unreadable_clocks_does_not_pass_as_steady() -> None:
    assert [guard.code for guard in clock_guards([ClockReading(gpu=True)] * 2)] == ["unread_clocks"]
    assert clock_guards([ClockReading(gpu=True), ClockReading(gpu_reasons=0x1, gpu=True)]) == []


def test_clocks_are_read_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, events in enumerate((3, 4)):
        folder = tmp_path / "sys" / f"cpu{cpu}" / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{events}\n")
    monkeypatch.setattr(throttling, "clock_reasons", {"GPU-7": 0x40}.get)
    assert read_clocks("GPU-7", counters=tmp_path / "sys") == ClockReading(0x40, 7, gpu=True)
    assert read_clocks(None, counters=tmp_path / "sys") == ClockReading(None, 7)
    monkeypatch.setattr(throttling, "clock_reasons", lambda gpu: None)
    assert read_clocks("GPU-7", counters=tmp_path / "nothing") == ClockReading(gpu=True)
