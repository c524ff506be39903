"""The configuration says what it means and refuses what it does not know."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf

from drafters.errors import InputError
from harness.config import asset, read_config
from harness.vocabulary import CONF
from tests.helpers.composing import composed, laid_over


def test_default_compares_mtp_and_dflash_on_the_embedded_pair() -> None:
    config = composed()
    assert [arm.name for arm in config.arms] == ["mtp", "dflash"]
    assert config.target.path == asset("target")
    assert [arm.path for arm in config.arms] == [asset("mtp"), asset("dflash")]
    assert [arm.num_draft_tokens for arm in config.arms] == [None, None]


def test_one_name_picks_one_arm() -> None:
    assert [arm.name for arm in composed("drafter=dflash").arms] == ["dflash"]


def test_no_arm_leaves_the_baseline_alone() -> None:
    assert composed("drafter=[]").arms == ()
    assert composed("drafter=baseline").arms == ()


def test_num_draft_tokens_sets_all_arms_and_an_arms_own_value_wins() -> None:
    config = composed("num_draft_tokens=8", "drafters.mtp.num_draft_tokens=3")
    assert [arm.num_draft_tokens for arm in config.arms] == [3, 8]


def test_another_target_does_not_inherit_the_embedded_drafters() -> None:
    config = composed("target.path=elsewhere", "drafters.mtp.path=assistant")
    assert [arm.path for arm in config.arms] == ["assistant", None]


def test_two_settings_of_one_drafter_are_two_arms() -> None:
    config = composed("+drafters.mtp_b={kind: mtp, position: anchor-1}", "drafter=[mtp,mtp_b]")
    second = config.arms[1]
    assert (second.name, second.kind, second.path, second.options) == (
        "mtp_b",
        "mtp",
        asset("mtp"),
        {"position": "anchor-1"},
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("drafter=eagle", "drafter=eagle: unknown, expected one of dflash, lookup, mtp, oracle, random"),
        ("drafter=[mtp,mtp]", "listed more than once"),
        ("num_draft_tokens=0", "num_draft_tokens=0: expected 1 or more"),
        ("drafters.mtp.num_draft_tokens=0", "drafters.mtp.num_draft_tokens=0: expected 1 or more"),
        ("drafters.mtp.num_draft_tokens=two", "drafters.mtp.num_draft_tokens=two: expected a whole number"),
        ("max_new_tokens=1", "max_new_tokens=1: expected 2 or more"),
        ("max_new_tokens=many", "max_new_tokens: Value 'many'"),
        ("repeats=0", "repeats=0: expected 1 or more"),
        ("batch_size=0", "batch_size=0: expected 1 or more"),
        ("seed=-1", "seed=-1: expected 0 or more"),
        ("execution=fast", "execution=fast: expected one of auto, eager, compile, cuda_graph"),
        ("decoding.temperature=-1", "decoding.temperature=-1.0: expected 0.0 or more"),
        ("decoding.top_k=0", "decoding.top_k=0: expected 1 or more"),
        ("decoding.top_p=1.5", "decoding.top_p=1.5: expected a number in (0, 1]"),
        ("decoding.verification=typical", "decoding.verification=typical: expected one of rejection, match"),
        ("target=path", "target.path is empty"),
        ("target.dtype=int3", "target.dtype=int3: expected one of auto, float32, bfloat16, float16, float64"),
        ("dataset=jsonl", "dataset.path is empty"),
        ("dataset.limit=0", "dataset.limit=0: expected 1 or more"),
        ("+surprise=1", "surprise: unknown key"),
        ("+decoding.beam=2", "decoding.beam: unknown key"),
    ],
)
def test_bad_values_name_the_key_and_what_was_expected(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        composed(override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_registered_drafter_needs_no_block_of_options() -> None:
    (arm,) = composed("~drafters.lookup", "drafter=lookup").arms
    assert (arm.name, arm.kind, arm.options) == ("lookup", "lookup", {})


def test_unknown_keys_do_not_compose() -> None:
    with pytest.raises(ConfigCompositionException):
        composed("drafters.mtp.colour=red")


@pytest.mark.parametrize("overrides", [
    [],
    ["target=31b", "dataset.path=rows.jsonl", "drafter=[mtp,dflash]", "decoding=sampling"],
    ["experiment=dflash_paper", "+decoding.beam=2", "~drafters.lookup", "dataset=hospital", "num_draft_tokens=null"],
    ["+drafters.mtp_b={kind: mtp}", "+engine.options.seed=1e-40", "max_new_tokens=many", "seed='7'"],
], ids=str)  # fmt: skip
def test_what_the_tests_compose_is_what_hydra_composes(overrides: list[str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config", overrides)
    found = laid_over(*overrides)
    assert OmegaConf.to_container(found) == OmegaConf.to_container(whole)
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(whole, resolve=True)


@pytest.mark.parametrize("override", ["seed=1,2", "drafters.mtp.colour=red", "target=nowhere", "~nothing", "+seed=1"])
def test_what_hydra_refuses_the_tests_do_not_compose(override: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(HydraException) as refused:
        compose("config", [override])
    with pytest.raises(HydraException) as error:
        laid_over(override)
    assert str(error.value) == str(refused.value)


def _choices() -> list[str]:
    files = [path.relative_to(CONF) for path in sorted(CONF.glob("*/*.yaml"))]
    others = ("hydra", "figures", "train")  # published figures, and the groups of train/train.yaml
    return [f"{path.parent}={path.stem}" for path in files if not path.parts[0].startswith(others)]


@pytest.mark.parametrize("choice", _choices())
def test_every_shipped_option_composes_and_validates(choice: str) -> None:
    assert composed("target.path=somewhere", "dataset.path=prompts.jsonl", choice)


def test_the_configuration_survives_a_round_trip_through_plain_values() -> None:
    config = composed("drafter=mtp", "decoding=sampling", "dataset.limit=3")
    assert read_config(config.to_dict()) == config
