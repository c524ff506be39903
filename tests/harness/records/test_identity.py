"""The run key changes with the settings that change the numbers, and with no others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drafters.errors import InputError
from harness.config import read_config
from harness.records.identity import UNCHANGING, claim, differing_keys, identity, run_key

leaves = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, -0.0, 1.0, "", "a", ".", []])
configs = st.dictionaries(st.sampled_from(["", "a", "b", ".", "a.b"]), leaves | st.dictionaries(st.just("a"), leaves))


@given(configs)
@settings(deadline=None)
def test_the_order_of_keys_does_not_matter(config: dict[str, Any]) -> None:
    turned = dict(reversed(config.items()))
    assert run_key(turned) == run_key(config)
    assert differing_keys(config, turned) == []


@given(configs, configs)
@settings(deadline=None)
def test_keys_differ_exactly_where_a_difference_can_be_named(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert (run_key(one) == run_key(two)) == (differing_keys(one, two) == [])


def test_a_whole_number_is_the_same_written_either_way_but_true_is_not_one() -> None:
    assert run_key({"temperature": 0}) == run_key({"temperature": 0.0})
    assert run_key({"flag": True}) != run_key({"flag": 1})


def test_trackers_and_strictness_are_left_out() -> None:
    config = {"seed": 0, "tracking": {"name": "none"}, "strict": True}
    other = {"seed": 0, "tracking": {"name": "wandb"}, "strict": False}
    weights = {"target": {"sha256": "ab"}}
    assert run_key(identity(config, weights)) == run_key(identity(other, weights))
    assert run_key(identity(config, weights)) != run_key(identity(config, {"target": {"sha256": "cd"}}))


def test_every_unchanging_setting_exists() -> None:
    known = {"hydra", *_keys(asdict(read_config({"target": {"path": "a"}, "dataset": {"path": "b"}})))}
    assert {*UNCHANGING} <= known


def _keys(config: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for key, value in config.items():
        found |= {f"{path}{key}", *(_keys(value, f"{path}{key}.") if isinstance(value, dict) else ())}
    return found


def test_a_refusal_names_what_differs_and_what_to_do(tmp_path: Path) -> None:
    given_first = identity({"seed": 0, "dataset": {"limit": 8}}, {"mtp": {"sha256": "ab"}})
    key = claim(tmp_path, given_first)
    assert claim(tmp_path, given_first) == key
    with pytest.raises(InputError) as refusal:
        claim(tmp_path, identity({"seed": 0, "dataset": {"limit": 9}}, {}))
    message = str(refusal.value)
    assert "config.dataset.limit: 8 -> 9" in message
    assert 'checkpoints.mtp.sha256: "ab" -> (absent)' in message
    assert "another hydra.run.dir" in message
    assert "seed" not in message


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    claim(tmp_path, {f"key{index:02}": 0 for index in range(20)})
    with pytest.raises(InputError, match="and 12 more"):
        claim(tmp_path, {f"key{index:02}": 1 for index in range(20)})


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run_key.json").write_text("{")
    with pytest.raises(InputError, match=r"run_key\.json: expected a JSON object"):
        claim(tmp_path, {"seed": 0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, Path("x")])
def test_values_without_a_stable_text_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        run_key({"a": {"b": value}})
