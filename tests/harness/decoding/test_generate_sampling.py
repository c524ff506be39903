"""The random streams: a drafter never changes the target's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drafters.base import Sampling
from harness import generate
from harness.decoding.decoder import Decoder, DecodeSettings, noise_table
from harness.decoding.loop import loop
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

SAMPLINGS = [
    {"temperature": 0.7},
    {"temperature": 2.0, "top_k": 5},
    {"temperature": 1.0, "top_p": 0.8},
    {"temperature": 1.3, "top_k": 12, "top_p": 0.9},
]


@given(seed=st.integers(0, 2**40), stream=st.integers(0, 1), short=st.integers(1, 40), more=st.integers(0, 40))
def test_a_longer_noise_table_begins_with_the_shorter(seed: int, stream: int, short: int, more: int) -> None:
    table = noise_table(seed, stream, short + more, 2)
    assert torch.equal(table[:short], noise_table(seed, stream, short, 2))
    assert bool(((table >= 0) & (table < 1)).all())


def test_streams_and_seeds_are_different_numbers() -> None:
    tables = [noise_table(seed, stream, 50, 1).flatten() for seed in (0, 1, 7) for stream in (0, 1)]
    assert len({tuple(table.tolist()) for table in tables}) == len(tables)
    drawn = torch.cat([noise_table(seed, 0, 64, 2) for seed in range(200)])
    assert abs(float(drawn.mean()) - 0.5) < 0.01  # neighbouring seeds are not neighbours in what they draw
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.03


@pytest.mark.parametrize("options", SAMPLINGS, ids=str)
@pytest.mark.parametrize("structure", list(tiny.STRUCTURES))
def test_sample_and_match_gives_the_baselines_sampled_tokens_for_every_drafter(
    structure: str, options: dict[str, float]
) -> None:
    target = reference.target(structure)
    prompt = tiny.prompt(7)
    baseline = generate(target, None, prompt, max_new_tokens=20, seed=4, **options)
    accepted: dict[str, int] = {}
    for name in reference.DRAFTERS:
        drafter = reference.drafter(name, structure)
        found = generate(
            target, drafter, prompt, num_draft_tokens=3, max_new_tokens=20, seed=4, verification="match", **options
        )
        assert found.token_ids == baseline.token_ids, name
        accepted[name] = sum(r.accepted for r in found.rounds)
    assert accepted["oracle"] >= 14 and sum(accepted.values()) > accepted["oracle"]


def test_the_verification_of_a_baseline_does_not_matter() -> None:
    target = reference.target("experts")
    answers = [
        generate(target, None, tiny.prompt(7), temperature=1.0, max_new_tokens=20, verification=rule).token_ids
        for rule in ("rejection", "match")
    ]
    assert answers[0] == answers[1]


def test_a_drafter_leaves_the_targets_stream_alone() -> None:
    """The table of target draws is the same for every drafter, is never written to, and is not the drafter's own."""
    target, prompt = reference.target("dense_k_eq_v"), tiny.prompt(7)
    tables = []
    for name in (None, *reference.DRAFTERS):
        if name == "oracle":
            continue
        drafter = None if name is None else reference.drafter(name, "dense_k_eq_v")
        settings = DecodeSettings(3, 12, Sampling(1.2))
        decoder = Decoder(target, drafter, settings, 1, 64)
        loop(decoder, [prompt], 9, settings)
        tables.append(decoder.noise.clone())
        assert torch.equal(decoder.draft_noise[0], noise_table(9, 1, 64, 1)[:, 0])
    assert all(torch.equal(table, tables[0]) for table in tables)
    assert torch.equal(tables[0][0], noise_table(9, 0, 64, 2))


def test_a_drafter_that_proposes_nothing_changes_no_draw() -> None:
    """Given the same prefix the same draw decides; where nothing is drafted, that is the baseline's own."""
    target, prompt = reference.target("kv_shared"), tiny.prompt(7)
    baseline = generate(target, None, prompt, temperature=1.2, max_new_tokens=40, seed=5)
    lookup = reference.drafter("lookup", "kv_shared")
    found = generate(target, lookup, prompt, num_draft_tokens=3, temperature=1.2, max_new_tokens=40, seed=5)
    silent = 0
    for r in found.rounds:
        end = r.position - len(prompt) + 1  # tokens before this round's first
        if r.drafted or found.token_ids[:end] != baseline.token_ids[:end]:
            break
        assert found.token_ids[end] == baseline.token_ids[end]
        silent += 1
    assert silent > 0


@pytest.mark.parametrize("name", ["mtp", "dflash", "random"])
def test_nothing_is_drawn_from_the_global_generator(name: str) -> None:
    target, drafter = reference.target("dense_k_eq_v"), reference.drafter(name, "dense_k_eq_v")
    answers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        found = generate(target, drafter, tiny.prompt(7), num_draft_tokens=3, temperature=1.0, max_new_tokens=16)
        assert torch.equal(torch.random.get_rng_state(), before)
        answers.append(found.token_ids)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_argmax_drafts_on_request(name: str) -> None:
    """With `sample=False` the drafts do not depend on the drafter's stream, and are declared as deterministic."""
    target, drafter = reference.target("dense_k_eq_v"), reference.drafter(name, "dense_k_eq_v", sample=False)
    drafts = []
    for seed in (1, 2):
        found = generate(
            target, drafter, tiny.prompt(30), num_draft_tokens=4, temperature=0.01, max_new_tokens=2, seed=seed
        )
        drafts.append(found.rounds[0].draft_token_ids)
    greedy = generate(target, drafter, tiny.prompt(30), num_draft_tokens=4, max_new_tokens=2)
    assert drafts[0] == drafts[1] == greedy.rounds[0].draft_token_ids
