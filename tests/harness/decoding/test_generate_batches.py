"""A row of a batch is decoded as it would be alone: tokens, rounds and drafts, greedy and sampled."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from harness import Generation, generate
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

LENGTHS = (3, 12, 25, 40, 8)
PROMPTS = [tiny.prompt(length, seed) for seed, length in enumerate(LENGTHS)]
CASES = [
    ("dense_k_eq_v", "mtp"),
    ("dense_k_eq_v", "dflash"),
    ("dense_k_eq_v", "lookup"),
    ("dense_k_eq_v", None),
    ("kv_shared", "mtp"),
    ("kv_shared", "dflash"),
    ("kv_shared", "oracle"),
    ("experts", "mtp"),
    ("experts", "dflash"),
    ("experts", "random"),
]


def what_happened(generation: Generation) -> tuple[Any, ...]:
    """Everything of a generation but its times."""
    rounds = [(r.position, r.drafted, r.accepted, r.emitted, r.draft_token_ids) for r in generation.rounds]
    return generation.token_ids, generation.finish_reason, rounds


def together(structure: str, name: str | None, batch_size: int, **options: Any) -> list[Any]:
    drafter = None if name is None else reference.drafter(name, structure)
    k = None if name is None else 3
    found = generate(
        reference.target(structure), drafter, PROMPTS, num_draft_tokens=k, seed=50, batch_size=batch_size, **options
    )
    return [what_happened(g) for g in found]


def alone(structure: str, name: str | None, **options: Any) -> list[Any]:
    target, k = reference.target(structure), None if name is None else 3
    drafter = None if name is None else reference.drafter(name, structure)
    found = [
        generate(target, drafter, prompt, num_draft_tokens=k, seed=50 + i, **options)
        for i, prompt in enumerate(PROMPTS)
    ]
    return [what_happened(g) for g in found]


@functools.cache
def greedy_alone(structure: str, name: str | None) -> list[Any]:
    return alone(structure, name, max_new_tokens=14, eos_token_ids=[13, 20])


def test_every_prompt_bears_an_equal_share_of_the_time_of_all() -> None:
    found = generate(reference.target("dense_k_eq_v"), None, PROMPTS, max_new_tokens=6, batch_size=2)
    [share] = {g.wall_share_s for g in found}
    assert share is not None
    longest = max(g.prefill_s + g.decode_s for g in found)
    assert longest <= share * len(PROMPTS) <= sum(g.prefill_s + g.decode_s for g in found)


@pytest.mark.parametrize("batch_size", [5, 2])
@pytest.mark.parametrize(("structure", "name"), CASES)
def test_greedy_rows_of_unequal_prompts(structure: str, name: str | None, batch_size: int) -> None:
    """With two rows for five prompts, rows end at different times and are given to the prompts that wait."""
    found = together(structure, name, batch_size, max_new_tokens=14, eos_token_ids=[13, 20])
    assert found == greedy_alone(structure, name)
    assert len({len(tokens) for tokens, *_ in found}) >= 4


@pytest.mark.parametrize("verification", ["rejection", "match"])
@pytest.mark.parametrize(("structure", "name"), CASES)
def test_sampled_rows_draw_as_they_would_alone(structure: str, name: str | None, verification: str) -> None:
    options = {"max_new_tokens": 9, "temperature": 1.5, "top_p": 0.95, "verification": verification}
    assert together(structure, name, 2, **options) == alone(structure, name, **options)


def test_rows_of_a_batch_end_on_their_own() -> None:
    target, structure = reference.target("dense_k_eq_v"), "dense_k_eq_v"
    found = generate(
        target,
        reference.drafter("dflash", structure),
        PROMPTS,
        num_draft_tokens=3,
        max_new_tokens=24,
        eos_token_ids=[12],
    )
    assert {g.finish_reason for g in found} == {"eos", "length"}
    for length, seed, g in zip(LENGTHS, range(len(LENGTHS)), found, strict=True):
        expected = reference.answer(structure, length, seed)[:24]
        expected = expected[: expected.index(12) + 1] if 12 in expected else expected
        assert g.token_ids == expected


def test_different_seeds_draw_differently() -> None:
    target = reference.target("dense_k_eq_v")
    same_prompt = [PROMPTS[0]] * 3
    answers = [tuple(g.token_ids) for g in generate(target, None, same_prompt, temperature=1.5, max_new_tokens=16)]
    assert len(set(answers)) == 3
