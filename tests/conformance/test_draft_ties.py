"""Two engines' rounds at one place part only where the drafter's two best tokens tie, and the gap is measured."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from benchmarks.conformance.draft_ties import KeepsLogits, Parted, gap_of, parted, parting_places
from benchmarks.conformance.pair import counters_of, rounds_by_place
from harness import load_drafter
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

ROUNDS = pd.DataFrame(
    [("a", 5, "mtp", 4, 2, 3), ("a", 8, "mtp", 4, 3, 2), ("b", 5, "mtp", 4, 0, 1), ("a", 5, "x_mtp", 4, 1, 2)],
    columns=["prompt_id", "position", "arm", "drafted", "accepted", "emitted"],
)


def test_rounds_are_counted_alike_by_place() -> None:
    assert rounds_by_place(ROUNDS, "mtp", None) == {("a", 5): (4, 2, 3), ("a", 8): (4, 3, 2), ("b", 5): (4, 0, 1)}
    # Five tokens may follow the first: the second round has two left, so that it drafts one.
    assert rounds_by_place(ROUNDS, "mtp", 6)["a", 8] == (1, 1, 2)
    assert counters_of(ROUNDS, "mtp", 4) == {
        "num_drafts": 3, "num_draft_tokens": 12, "num_accepted_tokens": 5, "num_accepted_tokens_per_pos": [2, 2, 1, 0],
    }  # fmt: skip


def test_only_places_that_both_know_can_part() -> None:
    ours, theirs = (rounds_by_place(ROUNDS, arm, None) for arm in ("mtp", "x_mtp"))
    assert parting_places(ours, theirs) == [("a", 5)]
    assert parting_places(ours, ours) == []


def test_a_gap_is_measured_to_the_token_that_was_right_or_to_the_second_best() -> None:
    logits = torch.tensor([0.0, 1.0, 3.0, 2.0])
    spread = float(logits.double().std())
    assert gap_of(logits, 1) == pytest.approx(2 / spread)
    assert gap_of(logits, 2) == pytest.approx(1 / spread)
    filled = torch.cat((logits, torch.full((3,), torch.finfo(torch.float32).min)))  # an ordered head's filler
    assert gap_of(filled, 1) == pytest.approx(2 / spread)
    assert Parted("a", 5, 0, (1, 0, 1), (1, 1, 2), 0.009).tie and not Parted("a", 5, 0, (1, 0, 1), (1, 1, 2), 0.011).tie


@pytest.mark.parametrize("kind", ["mtp", "dflash"])
def test_the_logits_of_a_parted_round_are_those_that_drafted_it(kind: str) -> None:
    target = reference.target("dense_k_eq_v")
    model = tiny.assistant_model(target.model) if kind == "mtp" else tiny.dflash_model(target.model)
    drafter, prompt = load_drafter(kind, model, target=target), tiny.prompt(7)
    settings = {"num_draft_tokens": 3, "max_new_tokens": 20}
    place = ("p", len(prompt))
    (found,) = parted(target, drafter, {"p": prompt}, {place: (3, 0, 1)}, {place: (3, 1, 2)}, **settings)
    kept = drafter.limit
    assert isinstance(kept, KeepsLogits) and len(kept.rounds[0]) == 3
    assert found.draft == 0 and found.gap > 0
    with pytest.raises(ValueError, match="which no draft explains"):
        parted(target, drafter, {"p": prompt}, {place: (3, 1, 2)}, {place: (2, 1, 2)}, **settings)
