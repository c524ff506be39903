"""A drafter that does not fit its target is refused from the configs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness import load_drafter
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"
WRONG_MTP: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "hidden size": (lambda raw: raw.update(backbone_hidden_size=48), r"backbone_hidden_size is 48, expected 32"),
    "vocabulary": (lambda raw: raw["text_config"].update(vocab_size=48), r"vocab_size is 48, expected 24"),
    "window": (lambda raw: raw["text_config"].update(sliding_window=8), r"sliding_window is 8, expected 16"),
    "head width": (
        lambda raw: raw["text_config"].update(head_dim=16),
        r"sliding_attention \(head_dim, key/value heads\) is \(16, 2\), expected \(8, 2\)",
    ),
    "key/value heads": (
        lambda raw: raw["text_config"].update(num_key_value_heads=4),
        r"sliding_attention \(head_dim, key/value heads\) is \(8, 4\), expected \(8, 2\)",
    ),
    "another model": (lambda raw: raw.update(model_type="gemma4_text"), r"model_type is 'gemma4_text'.*expected"),
}
WRONG_DFLASH: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "hidden size": (lambda raw: raw.update(hidden_size=48), r"hidden_size is 48, expected 32"),
    "vocabulary": (lambda raw: raw.update(vocab_size=48), r"vocab_size is 48, expected 24"),
    "number of layers": (lambda raw: raw.update(num_target_layers=8), r"num_target_layers is 8, expected 4"),
    "taps": (lambda raw: raw["dflash_config"].update(target_layer_ids=[1, 4]), r"layer 4, expected 0 to 3"),
    "mask token": (lambda raw: raw["dflash_config"].update(mask_token_id=24), r"mask_token_id is 24, expected 0 to 23"),
    "another model": (lambda raw: raw.update(architectures=["Qwen3ForCausalLM"]), r"'Qwen3ForCausalLM'.*expected"),
}


@pytest.mark.parametrize("case", WRONG_MTP)
def test_an_assistant_that_does_not_fit(case: str, copied: Callable[..., Path]) -> None:
    """The folder has no weights: the error is about the fit, so nothing was read before."""
    change, message = WRONG_MTP[case]
    with pytest.raises(InputError, match=rf"^drafters\.mtp\.path: .*{message}"):
        load_drafter("mtp", str(copied("mtp", change, tensors=None)), target=reference.target(STRUCTURE))


@pytest.mark.parametrize("case", WRONG_DFLASH)
def test_a_block_drafter_that_does_not_fit(case: str, copied: Callable[..., Path]) -> None:
    change, message = WRONG_DFLASH[case]
    with pytest.raises(InputError, match=rf"^drafters\.dflash\.path: .*{message}"):
        load_drafter("dflash", str(copied("dflash", change, tensors=None)), target=reference.target(STRUCTURE))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mtp", r"drafters\.mtp\.path: .*backbone_hidden_size is 48"),
        ("dflash", r"drafters\.dflash\.path: .*hidden_size is 48"),
    ],
)
def test_built_models_must_fit_too(name: str, message: str) -> None:
    other = tiny.target_model(STRUCTURE, hidden_size=48)
    model = tiny.assistant_model(other) if name == "mtp" else tiny.dflash_model(other)
    with pytest.raises(InputError, match=message):
        load_drafter(name, model, target=reference.target(STRUCTURE))
