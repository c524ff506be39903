"""The block drafter: its context holds verified tokens only, after rejections and in rings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from drafters.base import Proposal
from drafters.dflash.drafter import DFlashDrafter
from drafters.errors import InputError
from harness import generate, load_drafter
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.decoding.loop import loop
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.steered_drafter import Steered

STRUCTURE = "dense_k_eq_v"
WINDOW = 12  # of the tiny drafter's sliding layers


def poison(drafter: Any, position: int) -> None:
    """Overwrite every context row that stands for no verified position, or for one that no slot sees."""
    for layer, buffer in enumerate(drafter.buffers):
        window = drafter.config.window(layer)
        first = 0 if window is None else max(0, position - window + 1)
        size = buffer.keys.shape[2]
        dead = torch.ones(size, dtype=torch.bool)
        dead[[p % size for p in range(first, position)]] = False
        buffer.keys[:, :, dead] = 1e4
        buffer.values[:, :, dead] = -1e4


@pytest.mark.parametrize("in_block", ["layer_types", "bidirectional", "causal"])
def test_drafts_do_not_depend_on_rejected_or_forgotten_rows(in_block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, prompt = reference.target(STRUCTURE), tiny.prompt(7)
    expected = reference.steered("dflash", STRUCTURE, 7, in_block=in_block)
    plain = generate(target, expected, prompt, num_draft_tokens=5, max_new_tokens=60)

    steered: Any = reference.steered("dflash", STRUCTURE, 7, in_block=in_block)
    settings = DecodeSettings(5, 60)
    decoder = Decoder(target, steered, settings, 1, 128)
    assert any(buffer.ring for buffer in steered.buffers)
    own = Steered.propose

    def propose(self: Steered, anchor: Tensor, position: Tensor) -> Proposal:
        poison(self.inner, int(position[0]))
        return own(self, anchor, position)

    monkeypatch.setattr(Steered, "propose", propose)
    poisoned = loop(decoder, [prompt], 0, settings)[0]
    assert poisoned.token_ids == plain.token_ids
    assert steered.own == expected.own


def test_the_taps_that_reach_the_drafter_are_the_layers_outputs_of_a_full_pass() -> None:
    """Over a whole generation, past the window: what was observed for each verified token, in the taps' order."""
    target, prompt = reference.target("kv_shared"), tiny.prompt(7)
    network = tiny.dflash_model(target.model, target_layer_ids=(0, 3, 4))
    drafter: Any = Steered(load_drafter("dflash", network, target=target), prompt + reference.answer("kv_shared", 7))
    seen: dict[int, Tensor] = {}

    def remember(taps: Tensor, positions: Tensor) -> None:
        for index, position in enumerate(positions[0, : taps.shape[1]].tolist()):
            seen[position] = taps[0, index].clone()

    start, observe = drafter.inner.start, drafter.inner.observe
    drafter.inner.start = lambda prefill, row: (remember(prefill.taps, prefill.positions), start(prefill, row))
    drafter.inner.observe = lambda verified, accepted: (
        remember(verified.taps[:, : int(accepted[0]) + 1], verified.positions),
        observe(verified, accepted),
    )
    found = generate(target, drafter, prompt, num_draft_tokens=4, max_new_tokens=50)
    sequence = prompt + found.token_ids

    outputs: dict[int, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, index=index: outputs.update({index: out}))
        for index, layer in enumerate(target.text_model.layers)
    ]
    with torch.no_grad():
        target.model(torch.tensor([sequence]))
    for hook in hooks:
        hook.remove()
    last = max(position for position in seen if position < len(sequence) - 1)
    assert last >= len(sequence) - 6 and sorted(seen)[: last + 1] == list(range(last + 1))
    for position in range(last + 1):
        expected = torch.cat([outputs[index][0, position] for index in (0, 3, 4)])
        torch.testing.assert_close(seen[position], expected, rtol=1e-4, atol=1e-4)


def test_drafting_leaves_the_targets_keys_and_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drafter: Any = reference.drafter("dflash", STRUCTURE)
    settings = DecodeSettings(4, 30)
    decoder = Decoder(reference.target(STRUCTURE), drafter, settings, 1, 128)
    own, same = drafter.propose, []

    def propose(anchor: Tensor, position: Tensor) -> Proposal:
        buffers = [buffer for layer in decoder.cache.layers if layer for buffer in (layer.keys, layer.values)]
        before = [buffer.clone() for buffer in buffers]
        proposal: Proposal = own(anchor, position)
        same.append(all(map(torch.equal, before, buffers)))
        return proposal

    monkeypatch.setattr(drafter, "propose", propose)
    loop(decoder, [tiny.prompt(7)], 0, settings)
    assert len(same) > 5 and all(same)


def test_the_most_that_it_drafts_is_its_block_without_the_anchor() -> None:
    network = tiny.dflash_model(reference.target(STRUCTURE).model, block_size=8)
    assert DFlashDrafter(network).max_draft_tokens == 7


@pytest.mark.parametrize(
    ("said", "option", "scale", "reason"),
    [
        (None, None, 32**0.5, "the checkpoint does not say"),
        (2.0, None, 2.0, "as the checkpoint says"),
        (2.0, 3.0, 3.0, "drafters.dflash.input_embedding_scale"),
    ],
)
def test_the_embedding_scale_says_where_it_comes_from(
    said: float | None, option: float | None, scale: float, reason: str
) -> None:
    network = tiny.dflash_model(reference.target(STRUCTURE).model, input_embedding_scale=said)
    drafter = DFlashDrafter(network, input_embedding_scale=option)
    assert drafter.scale == scale
    assert reason in drafter.scale_reason


def test_an_unknown_block_mask_is_refused_with_the_known_ones() -> None:
    network = tiny.dflash_model(reference.target(STRUCTURE).model)
    with pytest.raises(InputError, match=r"drafters\.dflash\.in_block is 'both', expected layer_types, bidirectional"):
        DFlashDrafter(network, in_block="both")
