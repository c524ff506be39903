"""DFlash drafts against z-lab's own package, from one checkpoint folder that both read.

`dflash` 0.1.0 is installed without its dependencies (`pip install --no-deps dflash==0.1.0`; the Makefile does), since
it asks for serving stacks that its model file does not use. It synchronises CUDA for its timings, which is stubbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from drafters.dflash.model import DFlashModel
from harness import Generation, generate, load_drafter
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.published_folders import write_dflash
from tests.helpers.steered_drafter import Steered, steer

BLOCK = 16
TOKENS = 48
S, F = tiny.S, tiny.F


@pytest.fixture(autouse=True)
def _no_cuda_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)


@pytest.fixture(scope="module")
def zlab() -> Any:
    import dflash.model

    assert metadata.version("dflash") == "0.1.0"
    return dflash.model


class Theirs(NamedTuple):
    tokens: list[int]  # the answer
    emitted: list[int]  # per round
    drafts: list[Tensor]  # logits [drafted, V] per round


def zlab_run(
    zlab: Any, folder: Path, model: Any, prompt: list[int], sequence: list[int] | None, block: int = BLOCK
) -> Theirs:
    """z-lab's greedy generation; with a `sequence`, its rounds are steered by it."""
    drafter = zlab.DFlashDraftModel.from_pretrained(folder, dtype=torch.float32).eval()
    drafts: list[Tensor] = []
    own = drafter.compute_logits
    at = [len(prompt)]

    def compute_logits(hidden: Tensor, head: Any) -> Tensor:
        logits = own(hidden, head)
        drafts.append(logits[0].clone())
        if sequence is None:
            return logits
        tokens = steer(logits[0].argmax(dim=-1).tolist(), sequence, at[0])
        right = next((i for i, token in enumerate(tokens) if token != sequence[at[0] + 1 + i]), len(tokens))
        at[0] += right + 1
        return torch.nn.functional.one_hot(torch.tensor([tokens]), logits.shape[-1]).float()

    drafter.compute_logits = compute_logits
    found = zlab.dflash_generate(
        drafter, model, torch.tensor([prompt]), TOKENS, None, 0.0, block_size=block, return_stats=True
    )
    return Theirs(found.output_ids[0, len(prompt) :].tolist(), found.acceptance_lengths, drafts)


def our_run(
    structure: str, folder: Path, prompt: list[int], sequence: list[int] | None, k: int, **options: Any
) -> tuple[Generation, list[Tensor]]:
    """Ours, with the logits [k, V] of every round."""
    target = reference.target(structure)
    drafter: Any = load_drafter("dflash", str(folder), target=target, **options)
    logits: list[Tensor] = []
    own = drafter.model.logits

    def record(*args: Any) -> Tensor:
        found: Tensor = own(*args)
        logits.append(found[0].clone())
        return found

    drafter.model.logits = record
    drafting: Any = drafter if sequence is None else Steered(drafter, sequence)
    return generate(target, drafting, prompt, num_draft_tokens=k, max_new_tokens=TOKENS), logits


def assert_agreement(theirs: Theirs, ours: Generation, logits: list[Tensor], k: int) -> None:
    """The answer; and of every round with room for a whole block the drafts and how many tokens came of them.

    Near the length limit z-lab shortens its block, and slots that see each other draft something else then.
    """
    assert ours.token_ids == theirs.tokens
    whole = sum(len(draft) == k for draft in theirs.drafts)
    emitted = [r.emitted for r in ours.rounds]
    assert emitted[:whole] == theirs.emitted[:whole]
    assert 1 + sum(emitted[:whole]) >= TOKENS - k
    for index in range(whole):
        assert torch.equal(logits[index].argmax(dim=-1), theirs.drafts[index].argmax(dim=-1)), f"round {index}"
        torch.testing.assert_close(logits[index], theirs.drafts[index], rtol=3e-4, atol=3e-4)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as published": ({}, {}),
    "keys at top level": ({}, {"nested": False}),
    "rope_parameters": ({"rope_theta": 10_000.0}, {"rope": "rope_parameters"}),
    "causal everywhere": ({"is_causal": True}, {}),
    "bidirectional everywhere": ({"is_causal": False}, {"nested": False, "rope": "rope_parameters"}),
    "scaled embeddings": ({"input_embedding_scale": 32**0.5}, {}),
    "multiplied logits": ({"output_multiplier": 0.25}, {"nested": False}),
    "no softcap": ({"final_logit_softcapping": None}, {}),
    "attention bias": ({"attention_bias": True}, {}),
    "a window shorter than the block": ({"sliding_window": 5}, {}),
    "a narrow window, bidirectional": ({"sliding_window": 7, "is_causal": False}, {}),
    "full layers only": ({"layer_types": (F, F, F), "sliding_window": None}, {}),
    "one tap": ({"target_layer_ids": (2,)}, {}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("dflash")


def write(folders: Path, name: str, structure: str, overrides: dict[str, Any], layout: dict[str, Any]) -> Path:
    target = reference.target(structure)
    network: DFlashModel = tiny.dflash_model(target.model, **overrides)
    layers = len(target.layer_types)
    return write_dflash(folders / f"{structure} {name}", network, target_layers=layers, **layout)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_round_agrees_for_every_way_of_publishing(zlab: Any, folders: Path, name: str) -> None:
    structure = "dense_k_eq_v"
    folder = write(folders, name, structure, *VARIANTS[name])
    prompt = tiny.prompt(20)  # longer than every window here
    sequence = prompt + reference.answer(structure, 20)
    theirs = zlab_run(zlab, folder, reference.target(structure).model, prompt, sequence)
    ours, logits = our_run(structure, folder, prompt, sequence, BLOCK - 1)
    assert_agreement(theirs, ours, logits, BLOCK - 1)
    assert {0, BLOCK - 1} <= {r.accepted for r in ours.rounds}


@pytest.mark.parametrize("length", [6, 40])
@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_every_round_agrees_on_every_structure(zlab: Any, folders: Path, structure: str, length: int) -> None:
    """Taps stay below the layers that share keys and values, whose states transformers drops for z-lab's prefill."""
    folder = write(folders, "plain", structure, {}, {})
    prompt = tiny.prompt(length)
    sequence = prompt + reference.answer(structure, length)
    theirs = zlab_run(zlab, folder, reference.target(structure).model, prompt, sequence)
    ours, logits = our_run(structure, folder, prompt, sequence, BLOCK - 1)
    assert theirs.tokens == reference.answer(structure, length)[:TOKENS]
    assert_agreement(theirs, ours, logits, BLOCK - 1)


def test_both_accept_the_same_of_their_own_drafts(zlab: Any, folders: Path) -> None:
    """Without steering: the drafts alone decide how rounds go, and both count the same."""
    structure, accepted = "kv_shared", 0
    folder = write(folders, "own drafts", structure, {"is_causal": False}, {})
    for seed in range(4):
        prompt = tiny.prompt(20, seed)
        theirs = zlab_run(zlab, folder, reference.target(structure).model, prompt, None)
        ours, logits = our_run(structure, folder, prompt, None, BLOCK - 1)
        assert_agreement(theirs, ours, logits, BLOCK - 1)
        accepted += sum(r.accepted for r in ours.rounds)
    assert accepted > 0


@pytest.mark.parametrize("k", [1, 4, 9])
def test_fewer_drafts_than_the_block_are_a_shorter_block(zlab: Any, folders: Path, k: int) -> None:
    structure = "experts"
    folder = write(folders, "plain", structure, {"is_causal": False}, {})
    prompt = tiny.prompt(20)
    sequence = prompt + reference.answer(structure, 20)
    theirs = zlab_run(zlab, folder, reference.target(structure).model, prompt, sequence, block=k + 1)
    ours, logits = our_run(structure, folder, prompt, sequence, k)
    assert_agreement(theirs, ours, logits, k)


def test_a_prefix_on_tensor_names_is_no_difference(folders: Path) -> None:
    structure, prompt = "dense_k_eq_v", tiny.prompt(20)
    runs = []
    for prefix in ("", "model."):
        network = tiny.dflash_model(reference.target(structure).model)
        folder = write_dflash(folders / f"prefix {prefix}", network, prefix=prefix)
        sequence = prompt + reference.answer(structure, 20)
        runs.append(our_run(structure, folder, prompt, sequence, BLOCK - 1)[0])
    assert [r.draft_token_ids for r in runs[0].rounds] == [r.draft_token_ids for r in runs[1].rounds]


@pytest.mark.parametrize(
    ("option", "overrides"),
    [
        ({"in_block": "bidirectional"}, {"is_causal": False}),
        ({"in_block": "causal"}, {"is_causal": True}),
        ({"in_block": "layer_types"}, {}),
        ({"input_embedding_scale": 3.0}, {"input_embedding_scale": 3.0}),
    ],
    ids=str,
)
def test_an_option_overrides_what_the_checkpoint_says(
    zlab: Any, folders: Path, option: dict[str, Any], overrides: dict[str, Any]
) -> None:
    """The drafts are those of a checkpoint that says so itself."""
    structure, prompt = "dense_k_eq_v", tiny.prompt(20)
    saying = write(folders, f"says {overrides}", structure, overrides, {})
    opposite = {"is_causal": not overrides.get("is_causal", False)} if "in_block" in option else {}
    silent = write(folders, f"overridden {option}", structure, opposite, {})
    sequence = prompt + reference.answer(structure, 20)
    theirs = zlab_run(zlab, saying, reference.target(structure).model, prompt, sequence)
    ours, logits = our_run(structure, silent, prompt, sequence, BLOCK - 1, **option)
    assert_agreement(theirs, ours, logits, BLOCK - 1)


def test_a_silent_checkpoint_is_taken_to_scale_as_gemma_does(zlab: Any, folders: Path) -> None:
    structure, prompt = "dense_k_eq_v", tiny.prompt(20)
    silent = write(folders, "silent", structure, {"input_embedding_scale": None}, {})
    saying = write(folders, "saying", structure, {"input_embedding_scale": 32**0.5}, {})
    sequence = prompt + reference.answer(structure, 20)
    theirs = zlab_run(zlab, saying, reference.target(structure).model, prompt, sequence)
    ours, logits = our_run(structure, silent, prompt, sequence, BLOCK - 1)
    assert_agreement(theirs, ours, logits, BLOCK - 1)


def test_the_comparison_sees_a_wrong_block_mask_and_a_wrong_scale(zlab: Any, folders: Path) -> None:
    structure, prompt = "dense_k_eq_v", tiny.prompt(20)
    folder = write(folders, "plain", structure, {}, {})
    sequence = prompt + reference.answer(structure, 20)
    theirs = zlab_run(zlab, folder, reference.target(structure).model, prompt, sequence)
    for option in ({"in_block": "bidirectional"}, {"input_embedding_scale": 1.01}):
        ours, logits = our_run(structure, folder, prompt, sequence, BLOCK - 1, **option)
        with pytest.raises(AssertionError):
            assert_agreement(theirs, ours, logits, BLOCK - 1)
