"""Where an answer ends: at any EOS token inside an accepted block, and at the length limit, exactly."""

from __future__ import annotations

import pytest

from harness import generate
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.steered_drafter import Steered, everything

LENGTH = 7
STRUCTURE = "dense_k_eq_v"


def knowing(name: str = "mtp") -> Steered:
    """A drafter that is always right and, unlike the oracle, goes on drafting past an EOS token."""
    inner = reference.drafter(name, STRUCTURE)
    return Steered(inner, tiny.prompt(LENGTH) + reference.answer(STRUCTURE, LENGTH), everything)


def first_at(answer: list[int]) -> dict[int, int]:
    """The index of each token's first occurrence."""
    return {token: answer.index(token) for token in dict.fromkeys(answer)}


def test_an_eos_token_inside_an_accepted_block_ends_the_answer_there() -> None:
    answer, target, k = reference.answer(STRUCTURE, LENGTH), reference.target(STRUCTURE), 5
    places = set()
    for eos, index in first_at(answer).items():
        found = generate(
            target, knowing(), tiny.prompt(LENGTH), num_draft_tokens=k, max_new_tokens=len(answer), eos_token_ids=[eos]
        )
        assert found.token_ids == answer[: index + 1]
        assert found.finish_reason == "eos"
        if index == 0:
            assert found.rounds == []
            continue
        place = (index - 1) % (k + 1)  # 0 to k-1: an accepted draft; k: the token after them
        last = found.rounds[-1]
        assert (last.drafted, last.accepted, last.emitted) == (k, k, place + 1)
        assert all(r.emitted == k + 1 for r in found.rounds[:-1])
        places.add(place)
    assert places == set(range(k + 1))


@pytest.mark.parametrize("name", reference.DRAFTERS)
@pytest.mark.parametrize("structure", list(tiny.STRUCTURES))
def test_every_drafter_stops_where_transformers_stops(structure: str, name: str) -> None:
    answer = reference.answer(structure, LENGTH)
    late = [(token, index) for token, index in first_at(answer).items() if index < 2 * tiny.WINDOW][-4::3]
    drafter = reference.drafter(name, structure)
    for eos, index in late:
        found = generate(
            reference.target(structure),
            drafter,
            tiny.prompt(LENGTH),
            num_draft_tokens=4,
            max_new_tokens=index + 20,
            eos_token_ids=[eos],
        )
        assert found.token_ids == answer[: index + 1]
        assert found.finish_reason == "eos"


def test_transformers_itself_ends_at_that_token() -> None:
    answer, model = reference.answer(STRUCTURE, LENGTH), reference.target(STRUCTURE).model
    eos, index = list(first_at(answer).items())[-1]
    expected = reference.transformers_greedy(model, tiny.prompt(LENGTH), index + 5, eos_token_id=eos)
    assert expected == answer[: index + 1]


def test_the_earliest_of_several_eos_tokens_counts() -> None:
    answer = reference.answer(STRUCTURE, LENGTH)
    eos = [token for token, index in first_at(answer).items() if index >= 3]
    found = generate(reference.target(STRUCTURE), knowing(), tiny.prompt(LENGTH), num_draft_tokens=8, eos_token_ids=eos)
    assert found.token_ids == answer[: min(first_at(answer)[token] for token in eos) + 1]


@pytest.mark.parametrize("name", [None, "mtp", "dflash"])
def test_an_answer_may_be_its_first_token_alone(name: str | None) -> None:
    answer, target = reference.answer(STRUCTURE, LENGTH), reference.target(STRUCTURE)
    drafter = None if name is None else reference.drafter(name, STRUCTURE)
    ended = generate(target, drafter, tiny.prompt(LENGTH), num_draft_tokens=3, eos_token_ids=[answer[0]])
    assert (ended.token_ids, ended.finish_reason, ended.rounds) == (answer[:1], "eos", [])
    limited = generate(target, drafter, tiny.prompt(LENGTH), num_draft_tokens=3, max_new_tokens=1)
    assert (limited.token_ids, limited.finish_reason, limited.rounds) == (answer[:1], "length", [])


@pytest.mark.parametrize("limit", range(2, 14))
def test_a_length_limit_cuts_a_block_exactly(limit: int) -> None:
    answer, k = reference.answer(STRUCTURE, LENGTH), 4
    found = generate(
        reference.target(STRUCTURE), knowing(), tiny.prompt(LENGTH), num_draft_tokens=k, max_new_tokens=limit
    )
    assert found.token_ids == answer[:limit]
    assert found.finish_reason == "length"
    *whole, last = found.rounds
    assert all(r.emitted == k + 1 for r in whole)
    assert (last.accepted, last.emitted) == (k, (limit - 2) % (k + 1) + 1)  # the raw count is not cut


def test_an_eos_token_at_the_limit_is_an_eos() -> None:
    answer = reference.answer(STRUCTURE, LENGTH)
    eos, index = next((token, index) for token, index in first_at(answer).items() if index > 5)
    found = generate(
        reference.target(STRUCTURE),
        knowing(),
        tiny.prompt(LENGTH),
        num_draft_tokens=4,
        max_new_tokens=index + 1,
        eos_token_ids=[eos],
    )
    assert (len(found.token_ids), found.finish_reason) == (index + 1, "eos")


def test_without_eos_tokens_an_answer_runs_to_the_limit() -> None:
    found = generate(reference.target(STRUCTURE), knowing(), tiny.prompt(LENGTH), max_new_tokens=30)
    assert found.token_ids == reference.answer(STRUCTURE, LENGTH)[:30]
