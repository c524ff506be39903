"""Every doubt of a row: its code, severity and whole message, and the values at which it begins."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from drafters.registry import KINDS, Kind
from harness.metrics import evidence
from harness.metrics.binomial import at_least, at_most, shares_differ
from harness.metrics.evidence import always_right, first_drafts, never_drafts
from harness.metrics.guards import Guard, cell_guards, worth_listing
from harness.records.rounds import TAINTS
from harness.records.taints import FASTEST_STEP_S

#: A row without a doubt: 40 generations of 10 prompts, 400 rounds of 4 drafts, half of them accepted.
HONEST: dict[str, Any] = {
    "dataset": "d", "category": "all", "batch_size": 1, "arm": "mtp", "num_draft_tokens": 4,
    "prompts": 10, "generations": 40, "errors": 0, "verdict_mismatch": 0,
    "rounds": 400, "timed_rounds": 400, "tokens": 1240, "emitted": 1200, "unreported": 0,
    "drafted": 1600, "accepted": 800,
    "acceptance_length": 3.0, "position_rounds": [400, 300], "position_unconditional": [0.6, 0.1],
    "tainted": 0, **{f"taint_{word}": 0 for word in TAINTS}, "decode_s": 8.0, "unattributed_share": 0.05,
    "repeated": 80, "ngrams": 8000, "repeated_8grams": 0.01, "looping_generations": 0, "thinking_tokens": math.nan,
    "finish_length": 0, "truncated_share": 0.0, "paired_prompts": 10.0, "unequal_token_prompts": 0.0,
}  # fmt: skip
BASE = HONEST | {"arm": "baseline", "num_draft_tokens": 0}
OPTIONAL = ("timed_rounds", "unreported", "tainted", "thinking_tokens", "paired_prompts", "unequal_token_prompts")


def doubts(
    changes: dict[str, Any], base: dict[str, Any] | None = None, kind: str | None = None
) -> list[tuple[str, str, str]]:
    rows = pd.DataFrame([HONEST | changes, BASE | (base or {})])
    found = cell_guards(rows, None if kind is None else {"mtp": kind})[0]
    where = {name: HONEST[name] for name in ("dataset", "category", "arm", "num_draft_tokens", "batch_size")}
    assert found == [Guard(guard.code, guard.severity, guard.message, **where) for guard in found]
    return [(guard.code, guard.severity, guard.message) for guard in found]


def full(accepted: int, prompts: int = 10) -> str:
    return (
        f"{accepted} of 1600 drafted tokens accepted over {prompts} prompts, more than an honest drafter's 99%; check "
        "that no hidden state or position shows the drafter its own answer"
    )


def low(first: int, rounds: int, reason: str) -> str:
    return f"3.000 tokens per round: the first draft was accepted in {first} of {rounds} rounds that drafted; {reason}"


SILENT = {"drafted": 0, "accepted": 0, "position_rounds": [], "position_unconditional": []}
RARE = {"position_rounds": [200], "position_unconditional": [0.02]}
ERRORS = "inconsistent_records", "error", "1240 output tokens, but the rounds emitted 1199 and prefill 40"


@pytest.mark.parametrize(
    ("changes", "kind", "found"),
    [
        ({}, None, []),
        ({"verdict_mismatch": 2}, None,
         [("mismatch", "error", "2 of 40 outputs are not the target's: the speed is void")]),
        ({"errors": 2}, None, [("errors", "warning", "2 of 42 generations ended in an error")]),
        ({"unreported": 100, "emitted": 1100}, None,
         [("unreported_rounds", "info", "the engine did not report how 100 of 1240 tokens were drafted; acceptance "
                                        "covers the others alone")]),
        ({"emitted": 1199}, None, [ERRORS]),
        ({"tainted": 3, "taint_busy": 1, "taint_stopped": 2}, None,
         [("tainted", "warning", f"3 of 40 generations have doubtful times: 2 stopped ({TAINTS['stopped']}, left out "
                                 f"of all times); 1 busy ({TAINTS['busy']})")]),
        # -- times ---
        ({"decode_s": 0.002}, None,
         [("impossible_times", "error", "5.0 microseconds per round are less than any target takes: these are not "
                                        "decode times; does a proxy hold the stream back?")]),
        ({"decode_s": 0.0005, "timed_rounds": 50}, None,
         [("impossible_times", "error", "10.0 microseconds per round are less than any target takes: these are not "
                                        "decode times; does a proxy hold the stream back?")]),
        ({"decode_s": 0.0005, "timed_rounds": 49}, None, []),
        ({"decode_s": 400 * 4.949999e-6}, None,
         [("impossible_times", "error", "4.9 microseconds per round are less than any target takes: these are not "
                                        "decode times; does a proxy hold the stream back?")]),
        ({"decode_s": 400 * FASTEST_STEP_S}, None, []),
        ({"unattributed_share": 0.051}, None,
         [("unattributed_time", "warning", "5% of the decode time falls in no round; the breakdown misses it")]),
        ({"unattributed_share": 0.5, "rounds": 50}, None,
         [("unattributed_time", "warning", "50% of the decode time falls in no round; the breakdown misses it")]),
        ({"unattributed_share": 0.5, "rounds": 49}, None, []),
        ({"unattributed_share": 0.5, "batch_size": 2}, None, []),
        # -- pairs ---
        ({"paired_prompts": 9.0}, None,
         [("few_prompts", "warning", "only 9 paired; the interval needs 10 prompts to be trusted")]),
        ({"paired_prompts": math.nan, "unequal_token_prompts": math.nan}, None,
         [("few_prompts", "warning", "only 0 paired; the interval needs 10 prompts to be trusted")]),
        ({"unequal_token_prompts": 2.0}, None,
         [("unequal_tokens", "info", "2 of 10 prompts differ in length from the baseline's: compared by time per "
                                     "token")]),
        # -- acceptance ---
        ({"accepted": 1598}, None, [("acceptance_full", "error", full(1598))]),
        ({"accepted": 1598, "prompts": 3}, None, [("acceptance_full", "error", full(1598, 3))]),
        ({"accepted": 1598, "prompts": 2}, None, []),
        ({"accepted": 1598}, "oracle",
         [("synthetic_acceptance", "info", "mtp makes its acceptance; it calibrates, it does not compete")]),
        (RARE, None, [("acceptance_low", "warning", low(4, 200, evidence.FAULTS))]),
        (RARE | {"accepted": 0}, None, [("acceptance_low", "error", low(4, 200, evidence.FAULTS))]),
        (RARE, "random", [("acceptance_low", "info", low(4, 200, "random drafts are meant to be wrong"))]),
        (RARE, "lookup",
         [("acceptance_low", "info", low(4, 200, "the answers repeat little of what stands before them, so lookup has "
                                                 "nothing to copy"))]),
        (RARE | {"prompts": 2}, None, []),
        (RARE, "baseline", []),
        (SILENT, None,
         [("no_drafts", "error", "nothing drafted in 400 rounds: these are the baseline's numbers; is the drafter "
                                 "wired?")]),
        (SILENT | {"rounds": 9, "prompts": 1}, None, []),
        (SILENT | {"rounds": 0}, "lookup", []),
        (SILENT | {"rounds": 1}, "lookup",
         [("no_drafts", "info", "nothing drafted in 1 rounds, as the answers repeat little of what stands before them, "
                                "so lookup has nothing to copy: the baseline's numbers")]),
        # -- texts ---
        ({"thinking_tokens": 0.0, "generations": 10, "tokens": 1210}, None,
         [("no_thinking", "warning", "thinking was on, and none of 10 outputs holds a thought; was the switch "
                                     "understood?")]),
        ({"thinking_tokens": 0.0, "generations": 9, "tokens": 1209}, None, []),
        ({"thinking_tokens": 1.0}, None, []),
        ({"repeated": 2000, "repeated_8grams": 0.25, "looping_generations": 7}, None,
         [("repetition_loop", "warning", "25% of the 8-grams repeat earlier ones, 7 outputs loop; a loop is easy to "
                                         "draft, so speed and acceptance flatter")]),
        ({"repeated": 8 * 4 + 7, "ngrams": 8 * 5 + 7, "repeated_8grams": 0.8}, None,
         [("repetition_loop", "warning", "80% of the 8-grams repeat earlier ones, 0 outputs loop; a loop is easy to "
                                         "draft, so speed and acceptance flatter")]),
        ({"repeated": 8 * 3 + 7, "ngrams": 8 * 4 + 7, "repeated_8grams": 0.8}, None, []),
    ],
)  # fmt: skip
def test_a_row_is_doubted_for_this_and_nothing_else(
    changes: dict[str, Any], kind: str | None, found: list[tuple[str, str, str]]
) -> None:
    # Where a share of the batch is compared, both arms stand in it.
    assert doubts(changes, {"batch_size": changes.get("batch_size", 1)}, kind) == found


@pytest.mark.parametrize(
    ("arm", "strength", "found"),
    [
        ("baseline", 0.4,
         [("weak_baseline", "warning", "a decode step takes 5 ms, 2.5 times its floor of 2 ms on this machine "
                                       "(strength 0.4): speedups over it are those of a slow loop")]),
        ("baseline", 0.5, []),
        ("mtp", 0.4, []),
        ("mtp", 1.05, []),
        ("mtp", 1.25,
         [("floor_in_doubt", "info", "rounds take 0.80 of their floor: the machine's rates were measured while it was "
                                     "busy, and are measured again once they are removed from the cache (its folder "
                                     "rates)")]),
        ("baseline", math.nan, []),
    ],
)  # fmt: skip
def test_the_strength_of_a_row_is_doubted_on_either_side(
    arm: str, strength: float, found: list[tuple[str, str, str]]
) -> None:
    alone = HONEST | {"arm": arm, "floor_ms": 2.0, "strength": strength}
    (guards,) = cell_guards(pd.DataFrame([alone]), {"baseline": "baseline"})
    assert [(guard.code, guard.severity, guard.message) for guard in guards] == found


def test_a_silent_kind_without_a_reason_is_listed_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "shy", Kind("shy", may_be_silent=True))
    said = "nothing drafted in 400 rounds: the baseline's numbers"
    assert doubts(SILENT, kind="shy") == [("no_drafts", "info", said)]


def test_a_baseline_is_not_doubted_beside_itself() -> None:
    alone = BASE | {"paired_prompts": math.nan, "accepted": 1598}
    assert cell_guards(pd.DataFrame([alone]), {"baseline": "mtp"}) == [[]]


def test_a_synthetic_run_is_not_doubted_for_its_assumptions() -> None:
    looping = {"accepted": 1598, "repeated": 2000}
    assert [code for code, _, _ in doubts(looping)] == ["acceptance_full", "repetition_loop"]
    assert doubts(looping | {"synthetic": True}) == []


@pytest.mark.parametrize(
    ("cut", "of", "base_cut", "base_of", "said"),
    [
        (40, 40, 0, 40, "100% of the outputs are cut at the length limit, 0% of the baseline's: the two did not write "
                        "the same"),
        (0, 40, 40, 40, "0% of the outputs are cut at the length limit, 100% of the baseline's: the two did not write "
                        "the same"),
        (500, 10_000, 0, 10_000, None),  # five in a hundred, and not more
        (5400, 10_000, 5000, 10_000, None),  # certain, and too little
        (2, 4, 0, 4, None),  # much, and too uncertain
    ],
)  # fmt: skip
def test_outputs_cut_more_or_less_often_than_the_baselines(
    cut: int, of: int, base_cut: int, base_of: int, said: str | None
) -> None:
    row, base = (
        {"finish_length": c, "generations": n, "truncated_share": c / n, "tokens": 1200 + n}
        for c, n in ((cut, of), (base_cut, base_of))
    )
    assert doubts(row, base) == ([] if said is None else [("truncation", "warning", said)])


def test_a_row_without_a_baseline_is_judged_by_its_own_figures() -> None:
    bare = {name: value for name, value in HONEST.items() if name not in (*OPTIONAL, *(f"taint_{w}" for w in TAINTS))}
    for rows in ([bare], [bare, bare | {"arm": "baseline"}]):
        assert cell_guards(pd.DataFrame(rows)) == [[]] * len(rows)
    (hasty,) = cell_guards(pd.DataFrame([bare | {"decode_s": 0.002, "emitted": 1199}]))
    assert [guard.code for guard in hasty] == ["inconsistent_records", "impossible_times"]


@pytest.mark.parametrize(
    ("chance", "changes", "base"),
    [
        (at_least(1590, 1600, 0.99), {"accepted": 1590}, {}),
        (at_most(30, 400, 0.1), {"position_unconditional": [30 / 400]}, {}),
        (at_most(0, 40, 0.5), {"thinking_tokens": 0.0}, {}),
        (at_least(110, 1000, 0.1), {"repeated": 880}, {}),
        (shares_differ(20, 40, 15, 40), {"finish_length": 20, "truncated_share": 0.5},
         {"finish_length": 15, "truncated_share": 0.375}),
        (at_most(0, 400, 0.5), SILENT, {}),
    ],
)  # fmt: skip
def test_a_doubt_begins_at_its_error_rate_itself(
    monkeypatch: pytest.MonkeyPatch, chance: float, changes: dict[str, Any], base: dict[str, Any]
) -> None:
    for rate, count in ((chance, 1), (chance * (1 - 1e-9), 0)):
        monkeypatch.setattr(evidence, "ERROR_RATE", rate)
        assert len(doubts(changes, base)) == count


def test_silence_and_luck_become_evidence_after_so_many_rounds() -> None:
    assert [never_drafts(9, "mtp"), never_drafts(10, "mtp")] == [False, True]
    assert [never_drafts(341, "lookup"), never_drafts(342, "lookup")] == [False, True]
    assert [always_right(9, 9), always_right(10, 10), always_right(2000, 1999)] == [False, True, False]


def test_luck_begins_at_its_error_rate_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "ERROR_RATE", at_least(5, 5, 0.5))
    assert always_right(5, 5)


def test_first_drafts_are_those_of_position_one() -> None:
    assert first_drafts({"position_rounds": [30, 20], "position_unconditional": [1 / 3, 0.5]}) == (30, 10)
    assert first_drafts({"position_rounds": [], "position_unconditional": []}) == (0, 0)


def test_few_prompts_in_a_category_alone_are_not_listed() -> None:
    def guard(code: str, category: str, **where: Any) -> Guard:
        place = {"dataset": "d", "arm": "mtp", "num_draft_tokens": 4, "batch_size": 1} | where
        return Guard(code, "warning", "m", category=category, **place)

    general = guard("errors", "all")
    apart = [guard("errors", "code", **{name: value}) for name, value in (("arm", "dflash"), ("batch_size", 2))]
    apart += [guard("errors", "code", **{name: value}) for name, value in (("dataset", "e"), ("num_draft_tokens", 5))]
    hidden = [guard("few_prompts", "code"), guard("errors", "code")]
    assert worth_listing([hidden, [general, *apart], []]) == [general, *apart]
    assert general.as_dict() == {
        "code": "errors", "severity": "warning", "message": "m", "dataset": "d", "category": "all", "arm": "mtp",
        "num_draft_tokens": 4, "batch_size": 1,
    }  # fmt: skip
    assert str(general) == "errors: m"
