"""`generate` refuses bad input with one clear error that names the value, the expectation and the key."""

from __future__ import annotations

from typing import Any

import pytest

from drafters.errors import InputError
from harness import generate
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "k of none": ({"num_draft_tokens": 0}, r"drafters\.dflash\.num_draft_tokens=0: expected 1 or more"),
    "k below none": ({"num_draft_tokens": -3}, r"drafters\.dflash\.num_draft_tokens=-3: expected 1 or more"),
    "k above the block": (
        {"num_draft_tokens": 16},
        r"drafters\.dflash\.num_draft_tokens=16: expected 15 or less, .*block",
    ),
    "no new tokens": ({"max_new_tokens": 0}, r"max_new_tokens is 0, expected at least 1"),
    "negative temperature": ({"temperature": -1.0}, r"decoding\.temperature is -1\.0, expected 0 \(greedy\) or more"),
    "temperature that is no number": ({"temperature": float("nan")}, r"decoding\.temperature is nan, expected"),
    "infinite temperature": ({"temperature": float("inf")}, r"decoding\.temperature is inf, expected"),
    "top-k of none": ({"top_k": 0}, r"decoding\.top_k is 0, expected at least 1, or null"),
    "top-p of nothing": ({"top_p": 0.0}, r"decoding\.top_p is 0\.0, expected more than 0 and at most 1"),
    "top-p above one": ({"top_p": 1.5}, r"decoding\.top_p is 1\.5, expected more than 0 and at most 1"),
    "unknown rule": ({"verification": "typical"}, r"decoding\.verification is 'typical', expected one of rejection"),
    "batch of none": ({"batch_size": 0}, r"batch_size is 0, expected at least 1"),
    "negative seed": ({"seed": -1}, r"seed is -1, expected 0 or more"),
    "more than the context": (
        {"max_new_tokens": 1020},
        r"prompt 0 has 7 tokens and max_new_tokens is 1020, together more than the target's context of 1024",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_be_run_are_refused(case: str) -> None:
    options, message = REFUSED[case]
    drafter = reference.drafter("dflash", STRUCTURE)
    with pytest.raises(InputError, match=message):
        generate(reference.target(STRUCTURE), drafter, tiny.prompt(7), **options)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], r"prompt_ids is empty, expected token ids or a list of prompts"),
        ([[5, 6], []], r"prompt 1 is empty, expected at least one token"),
        ([[5, 6], [5, 24]], r"prompt 1 holds a token outside 0 to 23 \(the vocabulary\)"),
        ([5, -1], r"prompt 0 holds a token outside 0 to 23"),
        ([5] * 1020, r"prompt 0 has 1020 tokens .* context of 1024; lower max_new_tokens or drop the prompt"),
    ],
)
def test_prompts_that_cannot_be_run_are_refused(prompt: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(reference.target(STRUCTURE), None, prompt)


def test_the_context_may_be_filled_to_its_last_token() -> None:
    found = generate(reference.target(STRUCTURE), None, [5] * 1020, max_new_tokens=4)
    assert len(found.token_ids) == 4


def test_one_prompt_gives_one_generation_and_a_list_gives_a_list() -> None:
    target, prompt = reference.target(STRUCTURE), tiny.prompt(7)
    alone = generate(target, None, prompt, max_new_tokens=4)
    listed = generate(target, None, [prompt], max_new_tokens=4)
    assert isinstance(listed, list)
    assert [g.token_ids for g in listed] == [alone.token_ids]


@pytest.mark.parametrize(("name", "k"), [("mtp", 4), ("dflash", 15), ("lookup", 4), ("oracle", 4), ("random", 4)])
def test_each_drafter_has_a_default_k(name: str, k: int) -> None:
    drafter = reference.drafter(name, STRUCTURE)
    found = generate(reference.target(STRUCTURE), drafter, [5, 6, 5, 6, 5, 6], max_new_tokens=24)
    assert max(r.drafted for r in found.rounds) == k


def test_greedy_decoding_ignores_seed_top_k_and_top_p() -> None:
    target, prompt = reference.target(STRUCTURE), tiny.prompt(7)
    expected = reference.answer(STRUCTURE, 7)[:8]
    for options in ({"seed": 7}, {"top_k": 3}, {"top_p": 0.5}):
        assert generate(target, None, prompt, max_new_tokens=8, **options).token_ids == expected
