"""The chained drafter: one position for all its steps, the target's rows as they are, and only verified ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from drafters import mtp as mtp_module
from drafters.base import Proposal, Sampling
from drafters.errors import InputError
from drafters.mtp import MTPDrafter, ordered_logits
from harness import generate, load_drafter
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.decoding.loop import loop
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.steered_drafter import Steered

STRUCTURE = "dense_k_eq_v"


@pytest.mark.parametrize(("position", "back"), [("anchor", 0), ("anchor-1", 1)])
def test_all_draft_steps_stand_at_one_position(position: str, back: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    own = mtp_module.run_layers

    def spy(model: Any, hidden: Tensor, positions: Tensor, *args: Any, **options: Any) -> Any:
        seen.append(int(positions[0, 0]))
        return own(model, hidden, positions, *args, **options)

    monkeypatch.setattr(mtp_module, "run_layers", spy)
    drafter = reference.drafter("mtp", STRUCTURE, position=position)
    found = generate(reference.target(STRUCTURE), drafter, tiny.prompt(7), num_draft_tokens=3, max_new_tokens=30)
    assert seen == [r.position - back for r in found.rounds for _ in range(3)]


@pytest.mark.parametrize(
    ("position", "strict", "more"),
    [("anchor", False, 1), ("anchor-1", False, 0), ("anchor", True, -1), ("anchor-1", True, 0)],
)
def test_sliding_layers_see_the_window_as_it_is_counted_from_where_the_steps_stand(
    position: str, strict: bool, more: int
) -> None:
    drafter: Any = reference.drafter("mtp", STRUCTURE, position=position, strict_window=strict)
    target, settings = reference.target(STRUCTURE), DecodeSettings(2, 4)
    decoder = Decoder(target, drafter, settings, 1, 128)
    with torch.inference_mode():
        decoder.prefill(0, tiny.prompt(60), 0)
        drafter.newest[:] = 59
        decoder.set_reach(64)
        masks = drafter._masks(torch.tensor([60]))
    seen = {kind: int((mask == 0).sum()) for kind, mask in masks.items()}
    assert seen == {"sliding_attention": target.window + more, "full_attention": 60}


def fingerprint(decoder: Decoder) -> list[Tensor]:
    layers = [layer for layer in decoder.cache.layers if layer is not None]
    return [buffer.clone() for layer in layers for buffer in (layer.keys, layer.values)]


def test_drafting_leaves_the_targets_keys_and_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drafter: Any = reference.drafter("mtp", STRUCTURE)
    settings = DecodeSettings(4, 40)
    decoder = Decoder(reference.target(STRUCTURE), drafter, settings, 1, 128)
    own, rounds = drafter.propose, []

    def propose(anchor: Tensor, position: Tensor) -> Proposal:
        before = fingerprint(decoder)
        proposal: Proposal = own(anchor, position)
        rounds.append(all(map(torch.equal, before, fingerprint(decoder))))
        return proposal

    monkeypatch.setattr(drafter, "propose", propose)
    loop(decoder, [tiny.prompt(7)], 0, settings)
    assert len(rounds) > 10 and all(rounds)


def poison(decoder: Decoder, position: int, window: int) -> None:
    """Overwrite every row of the target's cache that stands for no verified position, or for one out of reach.

    The poison is large and finite: masked rows are multiplied by a weight of exactly zero, which only NaN survives.
    """
    for layer in decoder.cache.layers:
        if layer is None:
            continue
        first = max(0, position - 1 - window) if layer.ring else 0
        live = torch.tensor([p % layer.slots for p in range(first, position)], dtype=torch.long)
        dead = torch.ones(layer.slots, dtype=torch.bool)
        dead[live] = False
        layer.keys[:, :, dead] = 1e4
        layer.values[:, :, dead] = -1e4


@pytest.mark.parametrize("structure", list(tiny.STRUCTURES))
def test_drafts_do_not_depend_on_rejected_or_forgotten_rows(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, prompt = reference.target(structure), tiny.prompt(7)
    expected = reference.steered("mtp", structure, 7)
    plain = generate(target, expected, prompt, num_draft_tokens=4, max_new_tokens=60)

    steered: Any = reference.steered("mtp", structure, 7)
    settings = DecodeSettings(4, 60)
    decoder = Decoder(target, steered, settings, 1, 128)
    own = Steered.propose

    def propose(self: Steered, anchor: Tensor, position: Tensor) -> Proposal:
        poison(decoder, int(position[0]), tiny.WINDOW)
        return own(self, anchor, position)

    monkeypatch.setattr(Steered, "propose", propose)
    poisoned = loop(decoder, [prompt], 0, settings)[0]
    assert poisoned.token_ids == plain.token_ids
    assert steered.own == expected.own


def test_the_ordered_head_scores_the_best_centroids_as_transformers_does() -> None:
    model = tiny.assistant_model(reference.target(STRUCTURE).model, ordered=True)
    normed = torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(0))
    found = ordered_logits(model.masked_embedding, normed, model.lm_head.weight)
    theirs = model.masked_embedding(normed, model.lm_head.weight)
    scored = theirs > theirs.amin()
    torch.testing.assert_close(found[scored], theirs[scored])
    assert bool((found[~scored] == torch.finfo(torch.float32).min).all())
    tokens_scored = 4 * tiny.VOCAB // 12
    assert scored.sum(dim=-1).unique().tolist() == [tokens_scored]


def test_without_its_ordered_head_an_assistant_scores_the_whole_vocabulary() -> None:
    model = tiny.assistant_model(reference.target(STRUCTURE).model, ordered=True)
    normed = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(0))
    ordered, whole = MTPDrafter(model), MTPDrafter(model, ordered_head=False)
    assert ordered.conventions["ordered_head"] and not whole.conventions["ordered_head"]
    assert int((ordered._logits(normed) == torch.finfo(torch.float32).min).sum()) == tiny.VOCAB - 4 * tiny.VOCAB // 12
    torch.testing.assert_close(whole._logits(normed), model.lm_head(normed))
    with pytest.raises(InputError, match=r"drafters\.mtp\.ordered_head is 'no', expected true, false or null"):
        MTPDrafter(model, ordered_head="no")  # type: ignore[arg-type]
    plain = tiny.assistant_model(reference.target(STRUCTURE).model)
    with pytest.raises(InputError, match=r"ordered_head is True, but this checkpoint has none"):
        MTPDrafter(plain, ordered_head=True)


def test_a_sampled_draft_is_one_of_the_scored_tokens() -> None:
    target = reference.target(STRUCTURE)
    drafter = load_drafter("mtp", tiny.assistant_model(target.model, ordered=True), target=target)
    settings = DecodeSettings(3, 20, Sampling(3.0))
    decoder = Decoder(target, drafter, settings, 1, 64)
    proposals: list[Proposal] = []
    own = drafter.propose
    drafter.propose = lambda *args: proposals.append(own(*args)) or proposals[-1]  # type: ignore[method-assign, func-returns-value]
    loop(decoder, [tiny.prompt(7)], 0, settings)
    for proposal in proposals:
        assert proposal.probs is not None
        assert bool(((proposal.probs > 0).sum(dim=-1) == 4 * tiny.VOCAB // 12).all())
        assert bool((proposal.probs.gather(-1, proposal.tokens[..., None]) > 0).all())


def test_an_unknown_position_is_refused_with_the_known_ones() -> None:
    model = tiny.assistant_model(reference.target(STRUCTURE).model)
    with pytest.raises(InputError, match=r"drafters\.mtp\.position is 'bonus', expected 'anchor' or 'anchor-1'"):
        MTPDrafter(model, position="bonus")
