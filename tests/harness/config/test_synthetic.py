"""Random weights and assumed acceptance are asked for by keys, and what cannot be is refused by the key's name."""

from __future__ import annotations

import pytest

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import RunConfig
from harness.config.synthetic import check_count, check_rates
from tests.helpers.composing import composed

RATES = "verification.synthetic_acceptance=[0.9,0.8,0.5,0.5]"


def rates_of(config: RunConfig) -> dict[str, tuple[float, ...]]:
    return {arm.name: arm.synthetic_acceptance for arm in config.arms}


def test_nothing_is_made_up_unless_asked_for() -> None:
    config = composed()
    assert config.synthetic is None
    assert {(arm.weights, arm.synthetic_acceptance) for arm in config.arms} == {("checkpoint", ())}


def test_rates_hold_for_every_arm_and_an_arms_own_win() -> None:
    config = composed(RATES, "drafters.mtp.synthetic_acceptance=[1,0.25]", "drafter=[mtp,dflash,lookup]")
    assert rates_of(config) == {"mtp": (1.0, 0.25), "dflash": (0.9, 0.8, 0.5, 0.5), "lookup": (0.9, 0.8, 0.5, 0.5)}


def test_an_empty_list_leaves_an_arm_to_the_comparison() -> None:
    assert rates_of(composed(RATES, "drafters.dflash.synthetic_acceptance=[]"))["dflash"] == ()


def test_drafters_of_a_random_target_are_random_unless_they_say_otherwise() -> None:
    config = composed("target.weights=random", "drafters.mtp.weights=checkpoint", "drafter=[mtp,dflash,oracle]")
    assert [(arm.name, arm.weights) for arm in config.arms] == [
        ("mtp", "checkpoint"),
        ("dflash", "random"),
        ("oracle", "checkpoint"),
    ]


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        (["target.weights=random"], "Random weights (target, mtp, dflash): "),
        (["drafters.dflash.weights=random"], "Random weights (dflash): "),
        (["drafters.mtp.synthetic_acceptance=[1,1,1,1]"], "Assumed acceptance (mtp): "),
        (["drafters.mtp.weights=random", "drafter=mtp", RATES], "Random weights (mtp) and assumed acceptance (mtp): "),
    ],
)
def test_the_label_says_what_is_made_up(overrides: list[str], label: str) -> None:
    assert composed(*overrides).synthetic == f"{label}what a round costs is measured, what it earns is not."


def test_a_synthetic_run_scores_no_answers() -> None:
    assert composed().dataset.scorer == "corpus"
    assert composed(RATES).dataset.scorer is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("target.weights=none", "target.weights=none: expected one of checkpoint, random"),
        ("drafters.mtp.weights=none", "drafters.mtp.weights=none: expected one of checkpoint, random"),
        ("+drafters.lookup.weights=random", "drafters.lookup.weights=random: expected one of checkpoint"),
        ("verification.synthetic_acceptance=[0.5,0.6]", "verification.synthetic_acceptance=[0.5, 0.6]: expected"),
        ("verification.synthetic_acceptance=[1.2]", "verification.synthetic_acceptance=[1.2]: expected a list"),
        ("verification.synthetic_acceptance=[-0.1]", "verification.synthetic_acceptance=[-0.1]: expected a list"),
        ("verification.synthetic_acceptance=0.8", "verification.synthetic_acceptance: "),
        ("verification.synthetic_acceptance=[high]", "verification.synthetic_acceptance[0]: Value 'high'"),
        ("drafters.mtp.synthetic_acceptance=[0.1,0.9]", "drafters.mtp.synthetic_acceptance=[0.1, 0.9]: expected"),
        ("drafters.mtp.synthetic_acceptance=0.8", "drafters.mtp.synthetic_acceptance=0.8: expected a list of rates"),
        ("drafters.mtp.synthetic_acceptance=[high]", "drafters.mtp.synthetic_acceptance=['high']: expected a list"),
    ],
)
def test_bad_values_name_the_key_and_what_was_expected(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        composed("drafter=[mtp,lookup]", override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rates_that_do_not_cover_a_draft_are_refused_before_anything_loads() -> None:
    with pytest.raises(InputError) as error:
        preflight(composed(RATES))
    assert str(error.value) == (
        "verification.synthetic_acceptance has 4 rates, but dflash drafts 15 tokens a round: expected 15 rates or "
        "more, or drafters.dflash.num_draft_tokens=4"
    )
    with pytest.raises(InputError, match=r"drafters\.mtp\.synthetic_acceptance has 1 rates, but mtp drafts 4"):
        preflight(composed("drafters.mtp.synthetic_acceptance=[0.9]", "drafter=mtp"))


def test_more_rates_than_drafts_do_no_harm() -> None:
    assert [arm.k for arm in preflight(composed(RATES, "num_draft_tokens=2")).arms] == [2, 2]


def test_nothing_is_drawn_where_acceptance_is_assumed() -> None:
    with pytest.raises(InputError, match=r"decoding\.temperature=1\.0 with verification\.synthetic_acceptance"):
        composed(RATES, "decoding=sampling")


@pytest.mark.parametrize("key", ["device_map=auto", "tp_plan=auto", "quantization={bits:4}"])
def test_random_weights_lie_on_one_device_as_they_are(key: str) -> None:
    with pytest.raises(InputError, match=f"target.{key.partition('=')[0]} with target.weights=random"):
        composed("target=31b", "target.weights=random", f"target.{key}")


def test_the_rule_itself() -> None:
    assert check_rates(None) == ()
    assert check_rates([1, 0.5, 0.5, 0]) == (1.0, 0.5, 0.5, 0.0)
    check_count((0.5,), 1, "mtp")
    check_count((), 15, "dflash")
