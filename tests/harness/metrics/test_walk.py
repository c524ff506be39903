"""Rounds at a smaller k, from the rounds of a run at a larger one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.walk import Answer, acceptance_by_distance, rounds_at


@st.composite
def answers(draw: st.DrawFn, adaptive: bool = False) -> list[Answer]:
    """Answers of one k; the last round of each may be cut, and an adaptive drafter may draft less than k."""
    k = draw(st.integers(1, 7))
    found = []
    for _ in range(draw(st.integers(1, 5))):
        drafted, accepted = [], []
        for _ in range(draw(st.integers(1, 9))):
            drafted.append(draw(st.integers(0, k)) if adaptive else k)
            accepted.append(draw(st.integers(0, drafted[-1])))
        emitted = [count + 1 for count in accepted]
        emitted[-1] = draw(st.integers(1, emitted[-1]))
        found.append(Answer(*map(np.array, (drafted, accepted, emitted))))
    return found


def as_one(found: list[Answer], column: str) -> np.ndarray:
    return np.concatenate([getattr(one, column) for one in found])


@given(answers(), st.integers(0, 99))
def test_the_own_k_takes_the_rounds_that_it_took(found: list[Answer], seed: int) -> None:
    k = int(as_one(found, "drafted").max())
    took = [[float(len(one.drafted))] for one in found]
    assert rounds_at(found, [k], seed=seed).tolist() == took


@given(answers(adaptive=True), st.integers(0, 99))
def test_short_rounds_of_an_adaptive_drafter_stay_as_they_were(found: list[Answer], seed: int) -> None:
    k = max(int(as_one(found, "drafted").max()), 1)
    assert rounds_at(found, [k], seed=seed).tolist() == [[float(len(one.drafted))] for one in found]


@given(answers(), st.integers(0, 99))
def test_a_round_from_a_recorded_anchor_accepts_the_recorded_drafts_up_to_the_smaller_k(
    found: list[Answer], seed: int
) -> None:
    """One round that is never walked past its own end: accepted at k' is min(accepted, k')."""
    k = int(as_one(found, "drafted").max())
    for one in found:
        for smaller in range(1, k + 1):
            accepted = int(min(one.accepted[0], smaller))
            only = Answer(one.drafted[:1], one.accepted[:1], np.array([accepted + 1]))
            assert rounds_at([only], [smaller], seed=seed).tolist() == [[1.0]]


@given(answers())
def test_a_smaller_k_never_takes_fewer_rounds_and_no_more_than_tokens(found: list[Answer]) -> None:
    k = int(as_one(found, "drafted").max())
    needed = rounds_at(found, list(range(1, k + 1)))
    tokens = np.array([one.tokens for one in found])
    assert (needed <= tokens[:, None]).all()
    assert (needed >= tokens[:, None] / (np.arange(1, k + 1) + 1)).all()
    assert (needed[:, -1:] <= needed + 1e-9).all() or len(found) == 0


def test_an_oracle_needs_the_fewest_rounds_at_every_k() -> None:
    perfect = Answer(np.full(4, 7), np.full(4, 7), np.full(4, 8))
    assert rounds_at([perfect], [1, 3, 7]).tolist() == [[16.0, 8.0, 4.0]]


def test_drafts_that_never_stand_need_a_round_a_token() -> None:
    wrong = Answer(np.full(9, 3), np.zeros(9, dtype=int), np.ones(9, dtype=int))
    assert rounds_at([wrong], [1, 2, 3]).tolist() == [[9.0, 9.0, 9.0]]


@given(answers(adaptive=True))
def test_acceptance_never_rises_with_distance_and_keeps_the_mean(found: list[Answer]) -> None:
    drafted, accepted = as_one(found, "drafted"), as_one(found, "accepted")
    rates = acceptance_by_distance(drafted, accepted)
    assert ((rates >= 0) & (rates <= 1)).all() and (np.diff(rates) <= 1e-12).all()
    reached = np.array([((accepted >= j - 1) & (drafted >= j)).sum() for j in range(1, len(rates) + 1)])
    assert np.isclose((rates * reached).sum(), accepted.sum())


def test_the_walk_finds_the_tokens_per_round_of_a_drafter_whose_acceptance_fades() -> None:
    """Real runs of the same made-up drafter at each k; 300 answers give 2 %."""
    rng = np.random.default_rng(0)
    stands = 0.95 * 0.97 ** np.arange(15)

    def decode(k: int) -> Answer:
        accepted: list[int] = []
        while sum(accepted) + len(accepted) < 96:
            right = rng.random(k) < stands[:k]
            accepted.append(int(right.cumprod().sum()))
        emitted = np.array(accepted) + 1
        emitted[-1] -= emitted.sum() - 96
        return Answer(np.full(len(accepted), k), np.array(accepted), emitted)

    needed = rounds_at([decode(15) for _ in range(300)], [1, 4, 8]).sum(axis=0)
    for k, predicted in zip((1, 4, 8), needed, strict=True):
        assert abs(predicted / sum(len(decode(k).drafted) for _ in range(300)) - 1) < 0.03
