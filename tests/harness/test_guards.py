"""A number that cannot be true, or flatters, says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.clock_readings import ClockReading, clock_guards, read_clocks
from harness.guards import Guard, cell_guards, worth_listing
from harness.metrics import cell_metrics
from harness.repetition import repeated_ngrams
from tests.harness.record_tables import record, steps, tables


def guards_of(records: list[Any], arm: str = "mtp", kinds: dict[str, str] | None = None) -> dict[str, Guard]:
    cells = cell_metrics(*tables(records))
    number = cells.index[(cells["arm"] == arm) & (cells["category"] == "all")][0]
    return {guard.code: guard for guard in cell_guards(cells, kinds)[number]}


def drafting(rounds: list[tuple[int, int, int]], arm: str = "mtp", **fields: Any) -> list[Any]:
    fields = {"token_ids": list(range(1 + sum(emitted for _, _, emitted in rounds)))} | fields
    return [record("p", "baseline", steps(40)), record("p", arm, rounds, **fields)]


def test_an_honest_arm_has_no_guards() -> None:
    assert guards_of(drafting([(4, 2, 3)] * 13 + [(4, 0, 1)])) == {}


def test_nothing_drafted_is_an_error() -> None:
    found = guards_of(drafting([(0, 0, 1)] * 40))
    assert found["no_drafts"].severity == "error"
    assert "acceptance_zero" not in found


@pytest.mark.parametrize(
    ("rounds", "code"), [([(4, 4, 5)] * 8, "acceptance_full"), ([(4, 0, 1)] * 40, "acceptance_zero")]
)
def test_acceptance_of_all_or_nothing_is_an_error(rounds: list[tuple[int, int, int]], code: str) -> None:
    found = guards_of(drafting(rounds))
    assert found[code].severity == "error"
    assert found[code].arm == "mtp"


def test_a_handful_of_drafts_proves_nothing() -> None:
    assert guards_of(drafting([(4, 4, 5)] * 4)) == {}


def test_the_controls_are_known_for_what_they_are() -> None:
    oracle = guards_of(drafting([(4, 4, 5)] * 8, "perfect"), "perfect", kinds={"perfect": "oracle"})
    assert set(oracle) == {"synthetic_acceptance"}
    chance = guards_of(drafting([(4, 0, 1)] * 40, "random"), "random")
    assert chance["acceptance_zero"].severity == "info"


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
    found = guards_of(drafting([(4, 2, 3)] * 13, finish_reason="length"))
    assert "100% of the outputs are cut at the length limit, 0% of the baseline's" in found["truncation"].message


def test_few_prompts_for_the_interval_and_errors_and_mismatches() -> None:
    cells = cell_metrics(*tables(drafting([(4, 2, 3)] * 13, verdict="mismatch"))).assign(
        paired_prompts=6.0, unequal_token_prompts=0.0, errors=2
    )
    codes = {guard.code: guard.severity for guard in cell_guards(cells)[1]}
    assert codes == {"mismatch": "error", "errors": "warning", "few_prompts": "warning"}


def test_time_outside_the_rounds_is_said() -> None:
    records = drafting([(4, 2, 3)] * 13)
    records[1][1]["decode_s"] *= 2
    assert "50% of the decode time" in guards_of(records)["unattributed_time"].message


def test_in_a_batch_other_rows_are_prefilled_meanwhile() -> None:
    records = drafting([(4, 2, 3)] * 13, batch_size=4)
    records[1][1]["decode_s"] *= 2
    assert "unattributed_time" not in guards_of(records)


def test_rounds_that_do_not_add_up_to_the_tokens_are_an_error() -> None:
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


def test_clocks_that_were_held_back_are_named() -> None:
    steady = ClockReading(gpu_reasons=0x1, cpu_throttle_events=7)
    assert clock_guards([steady, steady]) == []
    assert clock_guards([]) == clock_guards([ClockReading()]) == []
    hot = ClockReading(gpu_reasons=0x40 | 0x4, cpu_throttle_events=9)
    messages = [guard.message for guard in clock_guards([steady, hot, steady, ClockReading(cpu_throttle_events=9)])]
    assert messages[0].startswith("the GPU reports power cap, hardware thermal slowdown")
    assert messages[1].startswith("the CPU was throttled 2 times")


def test_clocks_are_read_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, events in enumerate((3, 4)):
        folder = tmp_path / "sys" / f"cpu{cpu}" / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{events}\n")
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$*" in *clocks_throttle_reasons.active*) echo 0x0000000000000040;; *) exit 2;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert read_clocks(gpu=True, counters=tmp_path / "sys") == ClockReading(0x40, 7)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert read_clocks(gpu=True, counters=tmp_path / "nothing") == ClockReading()
