"""The position-addressed cache: rejected rows are never seen, rings wrap, and transformers' own cache agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from drafters.buffers import LayerBuffer
from harness import generate
from harness.decoding import decoder as decoder_module
from harness.target.cache import RING_STEP, PositionCache
from harness.target.target import Target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

K = 4
START = 9  # tokens of the prompt


def tokens_of(length: int, seed: int = 3) -> Tensor:
    return torch.tensor([tiny.prompt(length, seed)])


def from_scratch(target: Target, ids: Tensor, width: int) -> Tensor:
    """Logits [width, V] of the last tokens of `ids` [1, N], by transformers without any cache."""
    with torch.no_grad():
        logits: Tensor = target.model(ids, use_cache=False).logits
    return logits[0, -width:]


def rounds(
    target: Target,
    cache: PositionCache,
    kept: list[int],
    disturb: Callable[[PositionCache, int], None] = lambda cache, position: None,
) -> list[tuple[Tensor, Tensor]]:
    """Verify K + 1 random tokens per round and keep `kept` of them: (all ids [1, N], logits [K+1, V]) per round."""
    ids = tokens_of(START)
    position = START
    out = []
    with torch.inference_mode():
        target.run(cache, ids, torch.arange(START)[None])
        for turn, keep in enumerate(kept):
            new = tokens_of(K + 1, seed=100 + turn)
            disturb(cache, position)
            seen = target.run(cache, new, torch.arange(position, position + K + 1)[None])
            out.append((torch.cat((ids, new), dim=1), target.logits(seen.hidden)[0]))
            ids = torch.cat((ids, new[:, :keep]), dim=1)
            position += keep
    return out


EVERY_PLACE = [1, 2, 3, 4, 5, 1, 1, 3, 5, 5, 2, 4, 1, 2, 5, 3]  # of the K + 1 rows; ends far past the window


@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_after_a_rejection_at_any_place_the_next_logits_are_those_of_a_fresh_prefill(structure: str) -> None:
    target = reference.target(structure)
    for ids, logits in rounds(target, target.new_cache(1, 128, K + 1), EVERY_PLACE):
        torch.testing.assert_close(logits, from_scratch(target, ids, K + 1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_rollback_agrees_with_transformers_own_cache(structure: str) -> None:
    """`DynamicCache` with past recording and negative crops, round by round."""
    target = reference.target(structure)
    theirs = DynamicCache(config=target.model.config)
    theirs.activate_past_recording()
    with torch.no_grad():
        target.model(tokens_of(START), past_key_values=theirs, use_cache=True)
        theirs.crop(0)
        for keep, (ids, logits) in zip(
            EVERY_PLACE, rounds(target, target.new_cache(1, 128, K + 1), EVERY_PLACE), strict=True
        ):
            positions = torch.arange(ids.shape[1] - K - 1, ids.shape[1])[None]
            expected = target.model(
                ids[:, -K - 1 :], position_ids=positions, past_key_values=theirs, use_cache=True
            ).logits[0]
            torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
            theirs.crop(keep - K - 1)


def poison(cache: PositionCache, position: int) -> None:
    """Overwrite every row but those that the target may see from `position` on: verified, and inside the window.

    The poison is large and finite: a masked row counts with a weight of exactly zero, which only NaN survives.
    """
    for layer in cache.layers:
        if layer is None:
            continue
        first = max(0, position - tiny.WINDOW + 1) if layer.ring else 0
        dead = torch.ones(layer.slots, dtype=torch.bool)
        dead[[p % layer.slots for p in range(first, position)]] = False
        layer.keys[:, :, dead] = 1e4
        layer.values[:, :, dead] = -1e4


@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_what_was_rejected_forgotten_or_never_written_does_not_matter(structure: str) -> None:
    target = reference.target(structure)
    clean = rounds(target, target.new_cache(1, 128, K + 1), EVERY_PLACE)
    poisoned = rounds(target, target.new_cache(1, 128, K + 1), EVERY_PLACE, poison)
    for (_, expected), (_, found) in zip(clean, poisoned, strict=True):
        assert torch.equal(found, expected)


def test_the_poison_is_seen_where_a_live_row_is_overwritten() -> None:
    target = reference.target("dense_k_eq_v")

    def too_much(cache: PositionCache, position: int) -> None:
        poison(cache, position - 1)

    clean = rounds(target, target.new_cache(1, 128, K + 1), [2, 2])
    poisoned = rounds(target, target.new_cache(1, 128, K + 1), [2, 2], too_much)
    assert not torch.allclose(clean[1][1], poisoned[1][1], atol=1e-2)


def test_rows_of_a_batch_stand_at_their_own_lengths() -> None:
    target = reference.target("kv_shared")
    cache = target.new_cache(3, 96, K + 1)
    lengths, step = [4, 17, 40], torch.arange(K + 1)
    prompts = [tokens_of(length, seed=length) for length in lengths]
    with torch.inference_mode():
        for row, prompt in enumerate(prompts):
            target.run(cache.row(row), prompt, torch.arange(prompt.shape[1])[None])
        for turn in range(6):
            new = torch.cat([tokens_of(K + 1, seed=10 * turn + row) for row in range(3)])
            starts = torch.tensor([prompt.shape[1] for prompt in prompts])
            logits = target.logits(target.run(cache, new, starts[:, None] + step).hidden)
            for row in range(3):
                ids = torch.cat((prompts[row], new[row : row + 1]), dim=1)
                torch.testing.assert_close(logits[row], from_scratch(target, ids, K + 1), rtol=1e-3, atol=1e-3)
                prompts[row] = ids[:, : prompts[row].shape[1] + 1 + (turn + row) % (K + 1)]


@pytest.mark.parametrize("chunk", [1, 7, 23, 33])
@pytest.mark.parametrize("name", [None, "mtp", "dflash"])
def test_a_long_prompt_may_be_read_in_chunks_of_any_width(
    name: str | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks narrower than the ring, as wide as it, and wider: answers and drafts stay what they are."""
    structure, prompt = "kv_shared", tiny.prompt(75)
    target = reference.target(structure)

    def answer() -> tuple[Any, ...]:
        drafter = None if name is None else reference.drafter(name, structure)
        found = generate(target, drafter, prompt, num_draft_tokens=3, max_new_tokens=12)
        return found.token_ids, [r.draft_token_ids for r in found.rounds]

    whole = answer()
    monkeypatch.setattr(decoder_module, "PREFILL_CHUNK", chunk)
    assert answer() == whole
    assert whole[0] == reference.answer(structure, 75)[:12]


def test_a_ring_is_as_small_as_the_window_allows_and_wraps() -> None:
    target = reference.target("dense_k_eq_v")
    cache = target.new_cache(1, 128, K + 1)
    rings = {layer.slots for layer in cache.layers if layer is not None and layer.ring}
    assert len(rings) == 1
    assert 0 <= max(rings) - (tiny.WINDOW + K + 1 + 2) < RING_STEP and max(rings) % RING_STEP == 0
    assert {layer.slots for layer in cache.layers if layer is not None and not layer.ring} == {128}
    (ids, _), *_ = reversed(rounds(target, cache, EVERY_PLACE))
    assert ids.shape[1] > 2 * max(rings)


def test_layers_that_share_keys_and_values_get_no_storage() -> None:
    cache = reference.target("kv_shared").new_cache(1, 64, 2)
    assert [layer is not None for layer in cache.layers] == [True] * 3 + [False] * 2


def test_a_row_is_a_view_of_the_batch() -> None:
    layer = LayerBuffer(2, 1, 4, 2, ring=True, like=torch.zeros(1))
    layer.row(1).write(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.tensor([[3, 4]]))
    assert layer.keys[0].abs().sum() == 0
    assert layer.keys[1, 0, :, 0].tolist() == [1.0, 0.0, 0.0, 1.0]  # slots 3 and 4 mod 4
