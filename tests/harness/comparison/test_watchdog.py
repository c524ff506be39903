"""Impossible numbers stop the run, with a hint at the fault."""

from __future__ import annotations

import pytest

from harness.comparison.watchdog import GuardError, Watch, check_summary
from harness.records.rounds import Round

KINDS = {"baseline": "baseline", "mtp": "mtp", "lookup": "lookup", "noise": "random", "oracle": "oracle"}


def rounds(drafted: int, accepted: int, count: int = 10) -> list[Round]:
    return [Round(i, i, drafted, accepted, accepted + 1, 0.0, 0.0, 0.0) for i in range(count)]


@pytest.mark.parametrize(
    ("arm", "drafted", "accepted", "message"),
    [
        ("mtp", 0, 0, r"mtp drafted 0 tokens in 10 rounds.*check drafters\.mtp"),
        ("noise", 4, 4, "noise had all of its 40 random tokens accepted: check that the verifier"),
    ],
)
def test_impossible_numbers_stop_the_run(arm: str, drafted: int, accepted: int, message: str) -> None:
    watch = Watch(KINDS)
    watch.take(arm, rounds(drafted, accepted))
    with pytest.raises(GuardError, match=message):
        watch.check()


@pytest.mark.parametrize(
    ("arm", "drafted", "accepted"),
    [("mtp", 4, 4), ("mtp", 4, 0), ("noise", 4, 0), ("oracle", 4, 4), ("baseline", 0, 0)],
)
def test_possible_numbers_do_not(arm: str, drafted: int, accepted: int) -> None:
    watch = Watch(KINDS)
    watch.take(arm, rounds(drafted, accepted))
    watch.check(finished=True)


def test_a_few_lucky_random_tokens_are_no_proof() -> None:
    watch = Watch(KINDS)
    watch.take("noise", rounds(1, 1, count=3))
    watch.check()


def test_prompt_lookup_may_stay_silent_on_a_prompt_but_not_on_all() -> None:
    watch = Watch(KINDS)
    watch.take("lookup", rounds(0, 0, count=341))
    watch.check(finished=True)  # 0.98 ** 341 is just above one in a thousand
    watch.take("lookup", rounds(0, 0, count=1))
    watch.check()
    with pytest.raises(GuardError, match=r"lookup drafted 0 tokens in 342 rounds.*n-grams"):
        watch.check(finished=True)


def test_a_few_silent_rounds_are_no_proof_either() -> None:
    watch = Watch(KINDS)
    watch.take("mtp", rounds(0, 0, count=9))
    watch.check(finished=True)


def test_an_arm_that_has_not_run_yet_is_not_blamed() -> None:
    Watch(KINDS).check(finished=True)


def test_a_summary_is_held_to_the_same() -> None:
    row = {"arm": "mtp", "category": "all", "rounds": 10, "mean_drafted": 0.0, "acceptance_rate": None}
    with pytest.raises(GuardError, match="drafted 0 tokens in 10 rounds"):
        check_summary({"rows": [row]}, KINDS)
    check_summary({"rows": [{**row, "mean_drafted": 4.0, "acceptance_rate": 0.5}]}, KINDS)
