"""Greedy decoding in fp32 gives the target's own tokens, whoever drafts: transformers' `generate` is the reference."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from drafters.base import Proposal, Sampling, TargetPass, TargetView
from harness import Generation, generate
from harness.target.target import Target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

SHORT, LONGER = 7, 40  # prompt lengths below and above the window
STRUCTURES = tuple(tiny.STRUCTURES)


def assert_consistent(generation: Generation, k: int, prompt_tokens: int) -> None:
    """Check that counts add up and that each round begins where the one before ended."""
    assert len(generation.token_ids) == 1 + sum(r.emitted for r in generation.rounds)
    position = prompt_tokens
    for index, r in enumerate(generation.rounds):
        assert (r.round, r.position) == (index, position)
        assert 0 <= r.accepted <= r.drafted <= k
        assert len(r.draft_token_ids) == r.drafted
        last = index == len(generation.rounds) - 1
        assert r.emitted == r.accepted + 1 or (last and 1 <= r.emitted <= r.accepted)
        position += r.emitted


@pytest.mark.parametrize("length", [SHORT, LONGER])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_baseline_is_transformers_greedy(structure: str, length: int) -> None:
    expected = reference.answer(structure, length)
    found = generate(reference.target(structure), None, tiny.prompt(length), max_new_tokens=reference.LONG)
    assert found.token_ids == expected
    assert {(r.drafted, r.accepted, r.emitted) for r in found.rounds} == {(0, 0, 1)}
    assert_consistent(found, 0, length)


@pytest.mark.parametrize(("name", "k"), [("mtp", 3), ("dflash", 6), ("lookup", 4), ("oracle", 5), ("random", 2)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_long_answer_passes_the_window_with_rejections_on_the_way(structure: str, name: str, k: int) -> None:
    expected = reference.answer(structure, SHORT)
    drafter = reference.drafter(name, structure)
    found = generate(
        reference.target(structure), drafter, tiny.prompt(SHORT), num_draft_tokens=k, max_new_tokens=reference.LONG
    )
    assert found.token_ids == expected
    assert_consistent(found, k, SHORT)
    past_window = [r for r in found.rounds if r.position > 2 * tiny.WINDOW]
    if name == "oracle":
        assert all(r.accepted == r.drafted for r in found.rounds)
    else:
        assert any(r.accepted < r.drafted for r in past_window)


@pytest.mark.parametrize(("name", "k"), [("mtp", 4), ("dflash", 15)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_count_of_accepted_drafts_comes_up_inside_and_past_the_window(structure: str, name: str, k: int) -> None:
    expected = reference.answer(structure, SHORT)
    drafter = reference.steered(name, structure, SHORT)
    found = generate(
        reference.target(structure), drafter, tiny.prompt(SHORT), num_draft_tokens=k, max_new_tokens=reference.LONG
    )
    assert found.token_ids == expected
    assert_consistent(found, k, SHORT)
    counts = {r.accepted for r in found.rounds if r.position > tiny.WINDOW}
    assert {0, k} <= counts and len(counts) >= 5


@pytest.mark.parametrize("name", reference.DRAFTERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_k_for_prompts_on_both_sides_of_the_window(structure: str, name: str) -> None:
    drafter = reference.drafter(name, structure)
    for k in (*range(1, 9), 15):
        length, new = SHORT if k % 2 else LONGER, max(12, k + 2)  # past the window, and room for all k
        found = generate(
            reference.target(structure), drafter, tiny.prompt(length), num_draft_tokens=k, max_new_tokens=new
        )
        assert found.token_ids == reference.answer(structure, length)[:new], f"k={k}, prompt of {length}"
        assert_consistent(found, k, length)
        if name != "lookup":
            assert found.rounds[0].drafted == k


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_unified_models_run_like_the_others(name: str) -> None:
    expected = reference.answer(tiny.UNIFIED, SHORT)[:80]
    drafter = reference.steered(name, tiny.UNIFIED, SHORT)
    found = generate(reference.target(tiny.UNIFIED), drafter, tiny.prompt(SHORT), num_draft_tokens=4, max_new_tokens=80)
    assert found.token_ids == expected


@pytest.mark.parametrize("name", reference.DRAFTERS)
def test_a_prompt_of_one_token(name: str) -> None:
    target = reference.target("kv_shared")
    expected = reference.transformers_greedy(target.model, [9], 24)
    drafter = reference.drafter(name, "kv_shared")
    assert generate(target, drafter, [9], num_draft_tokens=3, max_new_tokens=24).token_ids == expected


def test_a_repeating_prompt_emits_no_token_twice_at_the_border_of_a_block() -> None:
    target = reference.target("dense_k_eq_v")
    prompt = [5, 6, 7] * 9
    expected = reference.transformers_greedy(target.model, prompt, 40)
    lookup = reference.drafter("lookup", "dense_k_eq_v")
    for k in (1, 3, 4):
        assert generate(target, lookup, prompt, num_draft_tokens=k, max_new_tokens=40).token_ids == expected


@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_drafter_serves_one_prompt_after_another(structure: str) -> None:
    """Nothing of the prompt before is left in a drafter and its buffers."""
    target = reference.target(structure)
    for name in ("mtp", "dflash"):
        drafter = reference.drafter(name, structure)
        first = generate(target, drafter, tiny.prompt(SHORT), num_draft_tokens=4, max_new_tokens=20)
        generate(target, drafter, tiny.prompt(LONGER), num_draft_tokens=7, max_new_tokens=40)
        again = generate(target, drafter, tiny.prompt(SHORT), num_draft_tokens=4, max_new_tokens=20)
        assert [r.draft_token_ids for r in first.rounds] == [r.draft_token_ids for r in again.rounds]


class Slow:
    """Drafts nonsense, and takes its time about it in two places."""

    name, taps, max_draft_tokens = "slow", (), None

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: torch.Tensor
    ) -> None:
        self.k, self.rounds = k, 0

    def start(self, prefill: TargetPass, row: int) -> None:
        time.sleep(0.05)

    def propose(self, anchor: torch.Tensor, position: torch.Tensor) -> Proposal:
        if self.rounds == 0:
            time.sleep(0.2)
        self.rounds += 1
        return Proposal(anchor[:, None].expand(-1, self.k).clone())

    def observe(self, verified: TargetPass, accepted: torch.Tensor) -> None:
        pass


def test_the_drafters_prefill_and_first_draft_are_in_the_first_rounds_draft_time() -> None:
    target: Target = reference.target("dense_k_eq_v")
    drafter: Any = Slow()
    found = generate(target, drafter, tiny.prompt(SHORT), num_draft_tokens=2, max_new_tokens=6)
    assert found.rounds[0].draft_s >= 0.25
    assert found.decode_s >= sum(r.draft_s + r.verify_s + r.other_s for r in found.rounds)
    assert all(r.draft_s < 0.25 for r in found.rounds[1:])
