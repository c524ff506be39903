"""Every published size can be built at its shapes with random weights; here at reduced width."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drafters.errors import InputError
from harness import generate
from harness.config import Arm, TargetConfig
from harness.target import random_weights, shapes
from tests.helpers.narrow_model import narrow


@pytest.fixture(autouse=True)
def narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)


@pytest.mark.parametrize("size", shapes.NAMES)
def test_each_size_decodes_with_each_drafter_it_has(size: str):
    target = random_weights.random_target(size, "cpu", "float32")
    plain = generate(target, None, [5, 6, 7], max_new_tokens=6)
    for name in ("mtp",) if size in shapes.EDGE else ("mtp", "dflash"):
        drafter = random_weights.random_drafter(name, size, target=target)
        assert generate(target, drafter, [5, 6, 7], num_draft_tokens=2, max_new_tokens=6).token_ids == plain.token_ids


def test_weights_follow_the_seed():
    one, same, other = (random_weights.random_target("31B", "cpu", "float32", seed=seed) for seed in (0, 0, 1))
    weights = [target.text_model.layers[0].mlp.up_proj.weight for target in (one, same, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_a_name_or_a_folder_tells_the_shapes(tmp_path: Path):
    named = TargetConfig("26b_a4b", "google/gemma-4-26B-A4B-it", drafters={"mtp": "google/its-assistant"})
    arm = Arm("mtp", "mtp", "google/its-assistant", None)
    assert random_weights.target_shapes(named)["text_config"]["num_experts"] == 8
    assert random_weights.drafter_shapes(arm, named)["model_type"] == "gemma4_assistant"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma4_text"}))
    assert random_weights.target_shapes(TargetConfig("31b", str(tmp_path))) == {"model_type": "gemma4_text"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (TargetConfig("path", "google/its-hub-id"), "target.path=google/its-hub-id: no such folder, and target."),
        (TargetConfig("e2b", "google/its-hub-id"), "drafters.dflash.path=None: drafters.dflash.weights=random knows"),
        (TargetConfig("31b", "google/its-hub-id"), "drafters.other.path=else/where: drafters.other.weights=random"),
    ],
)
def test_shapes_that_nothing_tells_are_asked_for(target: TargetConfig, message: str):
    path = "else/where" if target.name == "31b" else None
    arm = Arm("other" if path else "dflash", "dflash", path, None)
    with pytest.raises(InputError) as error:
        random_weights.target_shapes(target)
        random_weights.drafter_shapes(arm, target)
    assert message in str(error.value)


def test_unknown_sizes_and_missing_drafters_are_told():
    with pytest.raises(InputError, match="expected one of E2B"):
        random_weights.random_target("70B", "cpu", "float32")
    target = random_weights.random_target("E2B", "cpu", "float32")
    with pytest.raises(InputError, match="published for E2B"):
        random_weights.random_drafter("dflash", "E2B", target=target)
