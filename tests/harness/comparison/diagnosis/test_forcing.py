"""Teacher-forced drafts are those of decoding: on tiny targets past their windows, and on the shipped families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from drafters.base import Proposal
from drafters.confidence import ConfidenceWatch
from drafters.wirings.known import wirings_of
from harness import generate
from harness.comparison.diagnosis.forcing import Answered, batches, draft_along, every, next_round, show
from harness.metrics.anchors.outcomes import Anchors, visited
from harness.records.rounds import Generation
from harness.target.target import Target
from tests.harness.comparison.diagnosis.conftest import Shipped
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

KINDS = ("mtp", "dflash")
LENGTHS = (3, 30, 45)


def forced(
    target: Target, drafter: Any, answers: Sequence[Answered], k: int, stride: int | None, rows: int = 3
) -> Anchors:
    """The anchors of greedy rounds, or every `stride`-th place."""
    wiring = wirings_of(drafter, target.config.to_dict())[0]
    step, widest = (next_round, k + 1) if stride is None else (every(stride), stride)
    parts = [
        draft_along(target, wiring, show(target, batch, wiring.taps, 2 * k + widest + 4), k, step, widest)
        for batch in batches(answers, rows)
    ]
    return Anchors.joined(parts)


def rounds_of(generation: Generation, one: Answered) -> list[tuple[int, int]]:
    """Place and accepted drafts of every decoded round, cut at the answer's end."""
    places = [(r.position - len(one.prompt), r.accepted) for r in generation.rounds]
    return [(place, min(accepted, len(one.answer) - 1 - place)) for place, accepted in places]


def rounds_in(anchors: Anchors, one: Answered) -> list[tuple[int, int]]:
    own = anchors.where(anchors.answer == one.number)
    order = np.argsort(own.place)
    return list(zip(own.place[order].tolist(), own.stood[order].tolist(), strict=True))


@pytest.mark.parametrize(
    ("structure", "kind"), [*((structure, "mtp") for structure in tiny.EVERY_STRUCTURE), ("kv_shared", "dflash")]
)
def test_drafts_are_the_decoded_ones_past_the_windows(structure: str, kind: str) -> None:
    target, drafter, k = reference.target(structure), reference.drafter(kind, structure), 3
    prompts = [tiny.prompt(length, seed) for seed, length in enumerate(LENGTHS)]
    decoded = [generate(target, drafter, prompt, num_draft_tokens=k, max_new_tokens=20) for prompt in prompts]
    answers = tuple(
        Answered(number, number, prompt, one.token_ids)
        for number, (prompt, one) in enumerate(zip(prompts, decoded, strict=True))
    )
    wiring, proposed = wirings_of(drafter, target.config.to_dict())[0], list[list[list[int]]]()

    def watched(watch: ConfidenceWatch) -> Any:
        assert wiring.build is not None
        made: Any = wiring.build(watch)
        propose = made.propose

        def keep(anchor: Tensor, position: Tensor) -> Proposal:
            proposal: Proposal = propose(anchor, position)
            proposed.append(proposal.tokens.tolist())
            return proposal

        made.propose = keep
        return made

    shown = show(target, answers, wiring.taps, 3 * k + 5)
    walked = draft_along(target, replace(wiring, build=watched), shown, k, next_round, k + 1)
    for row, (one, real) in enumerate(zip(answers, decoded, strict=True)):
        assert rounds_in(walked, one) == rounds_of(real, one)
        drafts = [tuple(step[row]) for step in proposed[: len(real.rounds)]]
        assert drafts == [each.draft_token_ids for each in real.rounds]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["dense", "e2b"])
def test_walked_and_simulated_rounds_are_the_decoded_ones_of_the_shipped_drafters(
    shipped: Callable[[str], Shipped], family: str, kind: str
) -> None:
    pair = shipped(family)
    drafter, k, answers = pair.drafter(kind), pair.k[kind], pair.answers[:4]
    walked, everywhere = (forced(pair.target, drafter, answers, k, stride) for stride in (None, 1))
    simulated = everywhere.where(visited(everywhere))
    for one, real in zip(answers, pair.decoded(drafter, k, answers), strict=True):
        assert real.token_ids == list(one.answer)
        assert rounds_in(walked, one) == rounds_in(simulated, one) == rounds_of(real, one)


@pytest.mark.parametrize("stride", [2, 9])
def test_sampled_places_give_what_every_place_gives_there(stride: int) -> None:
    target, drafter = reference.target("kv_shared"), reference.drafter("dflash", "kv_shared")
    answers = [Answered(n, n, tiny.prompt(n + 9, n), reference.answer("kv_shared", n + 9, n)[:40]) for n in range(2)]
    everywhere, some = (forced(target, drafter, answers, 3, step) for step in (1, stride))
    at = {(a, p): s for a, p, s in zip(everywhere.answer, everywhere.place, everywhere.stood, strict=True)}
    assert len(some) == sum(len(range(0, len(one.answer) - 1, stride)) for one in answers)
    assert all(at[a, p] == s for a, p, s in zip(some.answer, some.place, some.stood, strict=True))
