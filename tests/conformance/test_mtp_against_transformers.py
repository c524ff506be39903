"""MTP drafts against transformers' own candidate generator for Gemma 4 assistants.

Both decode the same answer greedily, steered to the same accepted counts, so every round begins after the same prefix.
Transformers drafts nothing in its first round and from the prefill's states in its second, which is our first; from
then on the length of the prefix separates rounds.

After a rejection transformers lets the assistant see rejected rows: it cuts the keys and values one token too long and,
past the sliding window, not at all. So its drafts are compared as they are where the round before rejected nothing,
and with those rows taken out after the others. (Past the window and after a round that accepted nothing at all, one
row is then missing at the far end, which its cache no longer holds; those rounds alone are left out.)

Transformers 5.17 drafts after a prompt from the state of the prompt's first token instead of its last; there it is
given the last one alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from transformers.generation.candidate_generator import SinglePositionMultiTokenCandidateGenerator

from harness import generate, load_drafter
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.steered_drafter import Steered, steer

TOKENS = 60
KNOWS_PREFILL = "is_main_model_prefill" in inspect.getsource(SinglePositionMultiTokenCandidateGenerator)
LENGTHS = (5, 40)  # the window passes in the first, and is behind the prompt's end in the second


class Draft(NamedTuple):
    tokens: list[int]  # k
    logits: Tensor  # [k, V]


def transformers_drafts(
    model: Any, assistant: Any, prompt: list[int], sequence: list[int], k: int, *, without_rejected: bool
) -> dict[int, Draft]:
    """What transformers drafts after the anchor at each position, its rounds steered by `sequence`, up to its end."""
    new = min(TOKENS, len(sequence) - len(prompt))
    drafts: dict[int, Draft] = {}
    own = SinglePositionMultiTokenCandidateGenerator.get_candidates

    def get_candidates(self: Any, input_ids: Tensor, *, model_outputs: Any, **options: Any) -> tuple[Tensor, Any]:
        anchor = input_ids.shape[1] - 1
        if without_rejected and drafts:
            rejected = k - int(options["n_last_matches"])
            states = {
                kind: tuple(rows[:, :, : rows.shape[2] - rejected] for rows in pair)
                for kind, pair in model_outputs.shared_kv_states.items()
            }
            model_outputs = SimpleNamespace(hidden_states=model_outputs.hidden_states, shared_kv_states=states)
        if not (drafts or KNOWS_PREFILL) and model_outputs is not None:
            last = model_outputs.hidden_states[-1][:, -1:]
            model_outputs = SimpleNamespace(hidden_states=(last,), shared_kv_states=model_outputs.shared_kv_states)
        ids, logits = own(self, input_ids, model_outputs=model_outputs, **options)
        tokens = ids[0, anchor + 1 :].tolist()
        if len(tokens) == k:
            drafts[anchor] = Draft(tokens, logits[0])
            ids = torch.cat((input_ids, torch.tensor([steer(tokens, sequence, anchor)])), dim=1)
        return ids, logits

    assistant.generation_config.num_assistant_tokens = k
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SinglePositionMultiTokenCandidateGenerator, "get_candidates", get_candidates)
        answer = reference.transformers_greedy(model, prompt, new, assistant_model=assistant)
    assert answer == sequence[len(prompt) : len(prompt) + new]
    return drafts


@contextmanager
def recorded_logits(drafter: Any) -> Iterator[list[Tensor]]:
    """The drafter's logits [V] per draft step, in order."""
    logits: list[Tensor] = []
    own = drafter._logits

    def record(normed: Tensor) -> Tensor:
        found = own(normed)
        logits.append(found.reshape(-1))
        return found

    drafter._logits = record
    yield logits
    del drafter._logits


def our_drafts(
    target: Any, drafter: Any, prompt: list[int], sequence: list[int], k: int
) -> tuple[dict[int, Draft], set[int], set[int]]:
    """Ours by the anchor's position; the anchors before which nothing was rejected, and those before which something
    was but no row of the window is missing in transformers' cache."""
    steered, tokens = Steered(drafter, sequence), min(TOKENS, len(sequence) - len(prompt))
    with recorded_logits(drafter) as logits:
        found = generate(target, steered, prompt, num_draft_tokens=k, max_new_tokens=tokens)
    assert found.token_ids == sequence[len(prompt) : len(prompt) + tokens]
    drafts = {
        r.position: Draft(steered.own[r.position], torch.stack(logits[k * r.round : k * (r.round + 1)]))
        for r in found.rounds
    }
    clean = {len(prompt)} | {r.position + k + 1 for r in found.rounds if r.accepted == k}
    partly = {
        r.position + r.accepted + 1
        for r in found.rounds
        if r.accepted < k and (r.accepted > 0 or r.position < tiny.WINDOW)
    }
    return drafts, clean, partly


def differences(ours: dict[int, Draft], theirs: dict[int, Draft], positions: set[int]) -> list[int]:
    """Positions where tokens differ, or logits by more than rounding (of the tokens that a head scores at all)."""
    scored = torch.finfo(torch.float32).min / 2
    wrong = []
    for position in sorted(positions):
        mine, other = ours[position], theirs[position]
        real = mine.logits > scored
        close = torch.allclose(mine.logits[real], other.logits[real], rtol=1e-3, atol=1e-3)
        if mine.tokens != other.tokens or not close:
            wrong.append(position)
    return wrong


@pytest.mark.parametrize(
    ("k", "ordered"), [(1, True), (4, False), (4, True)], ids=["1, ordered head", "4, dense head", "4, ordered head"]
)
@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_drafts_agree_with_transformers(structure: str, k: int, ordered: bool) -> None:
    target = reference.target(structure)
    assistant = tiny.assistant_model(target.model, ordered=ordered)
    drafter = load_drafter("mtp", assistant, target=target)
    length = LENGTHS[(k + ordered) % 2]
    prompt = tiny.prompt(length)
    sequence = prompt + reference.answer(structure, length)
    ours, clean, partly = our_drafts(target, drafter, prompt, sequence, k)

    as_they_are = transformers_drafts(target.model, assistant, prompt, sequence, k, without_rejected=False)
    positions = clean & ours.keys() & as_they_are.keys()
    assert differences(ours, as_they_are, positions) == []
    assert len(positions) >= 5 and len(prompt) in positions
    assert max(positions) > 2 * tiny.WINDOW

    repaired = transformers_drafts(target.model, assistant, prompt, sequence, k, without_rejected=True)
    positions = (partly | clean) & ours.keys() & repaired.keys()
    assert differences(ours, repaired, positions) == []
    assert positions > clean & positions


def test_the_comparison_sees_a_position_shifted_by_one() -> None:
    """vLLM's convention, on request, is another position and so other logits: the comparison above can fail."""
    target = reference.target("dense_k_eq_v")
    assistant = tiny.assistant_model(target.model)
    prompt = tiny.prompt(40)
    sequence = prompt + reference.answer("dense_k_eq_v", 40)
    drafter = load_drafter("mtp", assistant, target=target, position="anchor-1")
    ours, clean, _ = our_drafts(target, drafter, prompt, sequence, 2)
    theirs = transformers_drafts(target.model, assistant, prompt, sequence, 2, without_rejected=False)
    positions = clean & ours.keys() & theirs.keys()
    assert differences(ours, theirs, positions) == sorted(positions)


@pytest.mark.parametrize("length", range(10, 24, 2))
def test_the_first_draft_after_a_prompt_around_the_window(length: int) -> None:
    """The assistant's window is one row wider than the target's: prompts that just fill either one."""
    target = reference.target("kv_shared")
    assistant = tiny.assistant_model(target.model)
    prompt = tiny.prompt(length)
    sequence = prompt + reference.transformers_greedy(target.model, prompt, 16)
    drafter = load_drafter("mtp", assistant, target=target)
    ours, clean, _ = our_drafts(target, drafter, prompt, sequence, 4)
    theirs = transformers_drafts(target.model, assistant, prompt, sequence, 4, without_rejected=False)
    positions = clean & ours.keys() & theirs.keys()
    assert differences(ours, theirs, positions) == [] and length in positions
