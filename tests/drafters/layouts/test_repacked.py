"""The DFlash weights that come with the harness, repacked as others publish theirs, draft the same tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness import Generation, generate, load_drafter, load_target
from harness.target.target import Target
from harness.vocabulary import ASSETS
from tests.helpers import drafter_folders as folders
from tests.helpers import published_folders as published
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

RAW = json.loads((ASSETS / "dflash" / "config.json").read_text())
OWN = ("architectures", "block_size", "dflash_config", "final_logit_softcapping", "num_target_layers")
K = 7


@pytest.fixture(scope="module")
def target() -> Target:
    return load_target(str(ASSETS / "target"))


def decoded(target: Target, folder: Path, k: int = K) -> Generation:
    prompt = torch.randint(5, 1000, (24,), generator=torch.Generator().manual_seed(3)).tolist()
    drafter = load_drafter("dflash", str(folder), target=target)
    return generate(target, drafter, prompt, num_draft_tokens=k, max_new_tokens=40)


@pytest.fixture(scope="module")
def shipped(target: Target) -> Generation:
    return decoded(target, ASSETS / "dflash")


def speculators(model_type: str, promised: int, **changes: Any) -> dict[str, Any]:
    layers = {key: value for key, value in RAW.items() if key not in OWN} | {"model_type": model_type}
    return {
        "architectures": ["DFlashSpeculator"],
        "speculators_model_type": "dflash",
        "block_size": RAW["block_size"],
        "draft_vocab_size": RAW["vocab_size"],
        "mask_token_id": RAW["dflash_config"]["mask_token_id"],
        "aux_hidden_state_layer_ids": [tap + 1 for tap in RAW["dflash_config"]["target_layer_ids"]],
        "speculators_config": {"algorithm": "dflash", "proposal_methods": [{"speculative_tokens": promised}]},
        "transformer_layer_config": layers,
        **changes,
    }


def with_window(**own: Any) -> dict[str, Any]:
    return RAW | {"dflash_config": RAW["dflash_config"] | own}


FORMS = {
    "qwen3, promise of the masks": speculators("qwen3", 15),
    "qwen3, promise of the block": speculators("qwen3", 16),
    "llama, promise of the block": speculators("llama", 16),
    "llama, slot stated": speculators("llama", 16, sample_from_anchor=False),
    "use_swa": with_window(use_swa=True, swa_window_size=512),
    "use_swa, causality stated": with_window(use_swa=True, swa_window_size=512, causal=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_repacked_weights_draft_as_the_shipped_ones(
    tmp_path: Path, target: Target, shipped: Generation, form: str
) -> None:
    found = decoded(target, folders.write(tmp_path, FORMS[form], load_file(ASSETS / "dflash" / "model.safetensors")))
    assert [r.draft_token_ids for r in found.rounds] == [r.draft_token_ids for r in shipped.rounds]
    assert [r.accepted for r in found.rounds] == [r.accepted for r in shipped.rounds]
    assert found.token_ids == shipped.token_ids


@pytest.mark.parametrize("causal", [None, True])
def test_a_window_of_use_swa_is_the_sliding_window_of_every_layer(tmp_path: Path, causal: bool | None) -> None:
    """Past the window, where a layer that saw everything would draft otherwise."""
    target = reference.target("dense_k_eq_v")
    window = {"layer_types": ("sliding_attention",) * 3, "sliding_window": 6, "is_causal": bool(causal)}
    model = tiny.dflash_model(target.model, **window)
    raw = published.dflash_json(model) | {"layer_types": ["full_attention"] * 3, "use_sliding_window": False}
    del raw["is_causal"]
    raw["dflash_config"] |= {"use_swa": True, "swa_window_size": 6} | ({} if causal is None else {"causal": causal})
    folder = published.write(tmp_path, raw, model.state_dict())
    drafts = []
    for drafter in (load_drafter("dflash", model, target=target), load_drafter("dflash", str(folder), target=target)):
        found = generate(target, drafter, tiny.prompt(30), num_draft_tokens=5, max_new_tokens=16)
        drafts.append([r.draft_token_ids for r in found.rounds])
    assert drafts[0] == drafts[1]
