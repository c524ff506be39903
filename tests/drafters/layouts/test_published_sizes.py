"""At full size, on the meta device, every published configuration has the published number of parameters."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from drafters.checkpoints.dflash import empty_model, settled
from drafters.checkpoints.mtp import empty_assistant
from drafters.layouts.known import layout_of
from harness.target.files import empty_target, text_config_of
from tests.helpers import published_drafters as published

#: Parameters of the text part and of the assistant, in millions, as published or counted from published shapes.
TEXT_MILLIONS = {"E2B": 4629, "E4B": 7463, "12B": 11907, "26B-A4B": 25233, "31B": 30697}
ASSISTANT_MILLIONS = {"E2B": 77.73, "E4B": 78.52, "12B": 422.86, "26B-A4B": 419.71, "31B": 469.52}
ZLAB_MILLIONS = {"12B": 727.50, "26B-A4B": 429.69, "31B": 1535.97}


def millions(model: nn.Module) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def block(raw: dict[str, Any], leave_out: tuple[str, ...] = ()) -> nn.Module:
    layout = layout_of(raw, "test", "dflash")
    names = {"embed_tokens.weight", "lm_head.weight"} - set(leave_out)
    return empty_model(layout, settled(layout, layout.parse(raw, "test"), names))


@pytest.mark.parametrize("name", published.NAMES)
def test_targets(name: str) -> None:
    raw = published.target(name)
    model = empty_target(text_config_of(raw, "test"), raw["model_type"])
    assert millions(model) == pytest.approx(TEXT_MILLIONS[name], abs=0.5)


@pytest.mark.parametrize("name", published.NAMES)
def test_assistants(name: str) -> None:
    raw = published.assistant(name)
    layout = layout_of(raw, "test", "mtp")
    model = empty_assistant(layout.parse(raw, "test"), layout.build)
    assert millions(model) == pytest.approx(ASSISTANT_MILLIONS[name], abs=0.005)


@pytest.mark.parametrize("name", published.SERVER)
def test_zlab_drafters(name: str) -> None:
    model = block(published.zlab(name))
    assert millions(model) == pytest.approx(ZLAB_MILLIONS[name], abs=0.005)
    assert len(model.state_dict()) == 58


def test_deepspec_drafter_brings_embedding_and_head() -> None:
    model = block(published.deepspec())
    assert millions(model) == pytest.approx(3300, rel=0.03)
    assert "layers.0.self_attn.v_proj.weight" not in model.state_dict()


def test_speculators_second_dflash_for_e2b_has_the_size_its_card_states() -> None:
    raw = published.speculators("dflash2", "E2B")
    assert millions(block(raw, ("embed_tokens.weight", "lm_head.weight"))) * 1e6 == pytest.approx(323_042_560, abs=0.5)


@pytest.mark.parametrize("name", published.SERVER)
def test_zlab_second_dflash_adds_convolutions_and_a_selector(name: str) -> None:
    first, second = block(published.zlab(name)), block(published.zlab(name, second=True))
    width, layers = published.text(name)["hidden_size"], 5
    convolution = 2 * 2 * width + width * 2 * 2 * width // 16  # base kernels and the projection of the corrections
    selector = 256 * width + 2 * published.VOCAB * 256
    expected = (2 * layers * convolution + selector) / 1e6
    assert millions(second) - millions(first) == pytest.approx(expected, abs=1e-6)


def test_dspark_adds_a_markov_and_a_confidence_head() -> None:
    added = millions(block(published.deepspec(markov=True))) - millions(block(published.deepspec()))
    assert added == pytest.approx((2 * published.VOCAB * 256 + 3840 + 256 + 1) / 1e6, abs=1e-6)


@pytest.mark.parametrize("name", published.NAMES)
@pytest.mark.parametrize("kind", ["dflash", "dflash2", "dspark"])
def test_speculators_drafters_build_for_every_target(kind: str, name: str) -> None:
    raw = published.speculators(kind, name)
    model = block(raw)
    shapes = {tensor: tuple(value.shape) for tensor, value in model.state_dict().items()}
    width, head = published.text(name)["hidden_size"], raw["draft_vocab_size"]
    assert shapes["fc.weight"] == (width, len(raw["aux_hidden_state_layer_ids"]) * width)
    assert shapes["embed_tokens.weight"] == (published.VOCAB, width)
    assert shapes["lm_head.weight"] == (head, width)
    assert ("d2t" in shapes) == (head < published.VOCAB)
