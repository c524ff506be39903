"""The drafters without a network: what they propose, and that they know no more than they may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drafters.base import Proposal, Sampling, TargetPass
from drafters.controls import OracleDrafter, PromptLookupDrafter, RandomDrafter
from drafters.errors import InputError
from harness import generate
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

CAPACITY = 64


def begin(drafter: Any, k: int, batch: int = 1, vocabulary: int = 24) -> None:
    target: Any = SimpleNamespace(config=SimpleNamespace(vocab_size=vocabulary), device=torch.device("cpu"))
    noise = torch.rand(batch, CAPACITY, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drafter.begin(target, batch, CAPACITY, k, Sampling(), noise)
    drafter.reach = CAPACITY


def read(drafter: Any, tokens: list[int], row: int = 0) -> None:
    ids = torch.tensor([tokens])
    hidden = torch.zeros(1, len(tokens), 1)
    drafter.start(TargetPass(ids, torch.arange(len(tokens))[None], hidden, None), row)


def continuation(history: list[int], k: int, max_ngram: int) -> list[int] | None:
    """The tokens after the latest earlier occurrence of the longest n-gram that ends `history`."""
    for size in range(max_ngram, 0, -1):
        if len(history) <= size:
            continue
        ngram = history[-size:]
        for end in range(len(history) - 2, size - 2, -1):
            if history[end - size + 1 : end + 1] == ngram:
                out = list(history)
                for i in range(k):  # what was copied may be copied again
                    out.append(out[end + 1 + i])
                return out[len(history) :]
    return None


@given(tokens=st.lists(st.integers(0, 3), min_size=2, max_size=20), k=st.integers(1, 6), max_ngram=st.integers(1, 4))
def test_lookup_copies_what_followed_the_longest_latest_match(tokens: list[int], k: int, max_ngram: int) -> None:
    drafter = PromptLookupDrafter(max_ngram)
    begin(drafter, k)
    read(drafter, tokens[:-1])
    found: Proposal = drafter.propose(torch.tensor(tokens[-1:]), torch.tensor([len(tokens) - 1]))
    assert found.probs is None and found.count is not None
    expected = continuation(tokens, k, max_ngram)
    if expected is None:
        assert int(found.count[0]) == 0
    else:
        assert int(found.count[0]) == k
        assert found.tokens[0].tolist() == expected


def test_lookup_rows_look_up_their_own_history() -> None:
    drafter = PromptLookupDrafter()
    begin(drafter, 2, batch=2)
    read(drafter, [1, 2, 3, 4, 1], row=0)
    read(drafter, [7, 8, 9], row=1)
    found = drafter.propose(torch.tensor([2, 7]), torch.tensor([5, 3]))
    assert found.count is not None
    assert found.tokens.tolist() == [[3, 4], [8, 9]]
    assert found.count.tolist() == [2, 2]


def test_lookup_sees_no_rejected_token() -> None:
    """Of four verified tokens two stood; what follows an n-gram must come from those that stood."""
    drafter = PromptLookupDrafter(max_ngram=1)
    begin(drafter, 3)
    read(drafter, [5, 6])
    verified = TargetPass(torch.tensor([[7, 8, 9, 10]]), torch.arange(2, 6)[None], torch.zeros(1, 4, 1), None)
    drafter.observe(verified, torch.tensor([1]))
    found = drafter.propose(torch.tensor([7]), torch.tensor([4]))  # history: 5 6 7 8 7
    assert found.tokens[0].tolist() == [8, 7, 8]
    unseen = drafter.propose(torch.tensor([9]), torch.tensor([4]))
    assert unseen.count is not None and int(unseen.count[0]) == 0


def test_lookup_refuses_an_ngram_of_no_tokens() -> None:
    with pytest.raises(InputError, match=r"drafters\.lookup\.max_ngram is 0, expected at least 1"):
        PromptLookupDrafter(0)


def test_the_oracle_is_always_right_and_knows_nothing_past_the_answer() -> None:
    found = generate(
        reference.target("experts"),
        reference.drafter("oracle", "experts"),
        tiny.prompt(7),
        num_draft_tokens=4,
        max_new_tokens=23,
    )
    assert all(r.accepted == r.drafted for r in found.rounds)
    assert [r.drafted for r in found.rounds] == [4, 4, 4, 4, 2]  # 1 + 4 * 5 tokens, then two of which one is drafted


def test_the_oracle_without_answers_says_what_is_missing() -> None:
    drafter = OracleDrafter()
    begin(drafter, 2)
    with pytest.raises(ValueError, match="replays the baseline"):
        read(drafter, [1, 2, 3])


def test_random_drafts_cover_the_vocabulary_evenly_and_say_so() -> None:
    drafter = RandomDrafter()
    begin(drafter, 40, vocabulary=5)
    read(drafter, [1, 2])
    found = drafter.propose(torch.tensor([1]), torch.tensor([2]))
    assert found.probs is not None
    assert set(found.tokens[0].tolist()) == set(range(5))
    assert torch.equal(found.probs, torch.full((1, 40, 5), 0.2))
