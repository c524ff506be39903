"""The contract: a sound drafter keeps to it, and each way of breaking it is found by exactly one check."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from drafters.base import Proposal, TargetPass
from drafters.controls import Control
from drafters.registry import Kind, kind_of
from drafters.sampling import draw
from harness import load_drafter
from harness.decoding.contract.checks import CHECKS, WEIGHTS, Verdict, judge
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.contract import small_subject, small_target

BLOCK = 5
NAMES = [check.name for check in (*CHECKS, WEIGHTS)]
KIND = Kind("sound")


@functools.cache
def table(vocabulary: int) -> Tensor:
    """Scores [97, V] of the next token."""
    return 2 * torch.randn(97, vocabulary, generator=torch.Generator().manual_seed(3))


class Sound(Control):
    """Chains tokens from a table by the two tokens before; drawn from it where decoding samples."""

    name = "sound"
    max_draft_tokens = BLOCK

    def begin(self, target: Any, batch_size: int, capacity: int, k: int, sampling: Any, noise: Tensor) -> None:
        super().begin(target, batch_size, capacity, k, sampling, noise)
        self.target, self.sampling = target, sampling

    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        """The token before the anchor [B]."""
        return self.history.gather(1, (position - 1).clamp_min(0)[:, None])[:, 0]

    def declare(self, scores: Tensor) -> Tensor:
        return (scores / self.sampling.temperature).softmax(dim=-1)

    def choose(self, scores: Tensor, position: Tensor) -> Tensor:
        """The token at `position` [B] from `scores` [B, V]."""
        if self.sampling.temperature == 0:
            return scores.argmax(dim=-1)
        noise = self.noise.gather(1, position[:, None])[:, 0]
        return draw((scores / self.sampling.temperature).softmax(dim=-1), noise)

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        first, second = self.before(anchor, position), anchor
        drafts, probs = [], []
        for step in range(self.k):
            scores = table(self.vocab_size)[(first * 7 + second) % 97]
            token = self.choose(scores, position + 1 + step)
            if self.sampling.temperature:
                probs.append(self.declare(scores))
            drafts.append(token)
            first, second = second, token
        return Proposal(torch.stack(drafts, dim=1), torch.stack(probs, dim=1) if probs else None)


def verdicts(make: Callable[[], Any], kind: Kind = KIND) -> dict[str, Verdict]:
    return {verdict.check.name: verdict for verdict in judge(small_subject(make, kind))}


def breaches(make: Callable[[], Any], kind: Kind = KIND) -> dict[str, str]:
    return {name: verdict.found for name, verdict in verdicts(make, kind).items() if verdict.found is not None}


# -- sound -------------------------------------------------------------------------------------------------------------


def test_a_sound_drafter_keeps_to_every_check() -> None:
    found = verdicts(Sound)
    assert list(found) == NAMES
    assert {name: verdict.found for name, verdict in found.items() if verdict.found or verdict.skipped} == {}


@pytest.mark.parametrize("name", reference.DRAFTERS)
def test_the_drafters_here_keep_to_the_contract(name: str) -> None:
    networks: Any = {"mtp": tiny.assistant_model, "dflash": partial(tiny.dflash_model, target_layer_ids=(0, 1))}
    made = networks[name](small_target().model) if name in networks else None
    assert breaches(lambda: load_drafter(name, made, target=small_target()), kind_of(name)) == {}


# -- broken in one way -------------------------------------------------------------------------------------------------


class Narrow(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        found = super().propose(anchor, position)
        return Proposal(found.tokens[:, : max(1, self.k - 1)], found.probs)


class Int32(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        found = super().propose(anchor, position)
        return Proposal(found.tokens.int(), found.probs)


class OutsideTheVocabulary(Sound):
    def choose(self, scores: Tensor, position: Tensor) -> Tensor:
        return super().choose(scores, position) + self.vocab_size


class Unnormalised(Sound):
    def declare(self, scores: Tensor) -> Tensor:
        return super().declare(scores) * 2


class CountsTooFar(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        found = super().propose(anchor, position)
        return Proposal(found.tokens, found.probs, torch.full_like(anchor, self.k + 1))


class Crashes(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        raise ValueError("no idea")


class WritesKeys(Sound):
    """Only where decoding is greedy at k = 2."""

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        if self.k == 2 and self.sampling.temperature == 0:
            for view in self.target.kv.values():
                view.values.zero_()
        return super().propose(anchor, position)


class Silent(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        found = super().propose(anchor, position)
        return Proposal(found.tokens, found.probs, torch.zeros_like(anchor))


class DeclaresAnother(Sound):
    def declare(self, scores: Tensor) -> Tensor:
        return (scores * 0.5).softmax(dim=-1)


class ReadsTheDrawnToken(Sound):
    """Ends a draft by the probability of the token that was drawn, as llama.cpp's p_min does."""

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        found = super().propose(anchor, position)
        if found.probs is None:
            return found
        sure = found.probs.gather(2, found.tokens[..., None])[..., 0] > 0.2
        return Proposal(found.tokens, found.probs, sure.long().cumprod(dim=1).sum(dim=1))


class Unseeded(Sound):
    def choose(self, scores: Tensor, position: Tensor) -> Tensor:
        if self.sampling.temperature == 0:
            return super().choose(scores, position)
        return draw(scores.softmax(dim=-1), torch.rand(len(position), dtype=torch.float64))


class ReadsTheFirstRow(Sound):
    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        return super().before(anchor, position)[:1].expand(len(anchor))


class CountsPrompts(Sound):
    def begin(self, target: Any, batch_size: int, *rest: Any) -> None:
        super().begin(target, batch_size, *rest)
        self.prompts = torch.zeros(batch_size, dtype=torch.long)

    def start(self, prefill: TargetPass, row: int) -> None:
        super().start(prefill, row)
        self.prompts[row] += 1

    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        return super().before(anchor, position) + self.prompts


class KeepsRejected(Sound):
    """Looks at the last draft of the round before, whether it was accepted or not."""

    def begin(self, target: Any, batch_size: int, *rest: Any) -> None:
        super().begin(target, batch_size, *rest)
        self.last = torch.zeros(batch_size, dtype=torch.long)

    def start(self, prefill: TargetPass, row: int) -> None:
        super().start(prefill, row)
        self.last[row] = 0

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        super().observe(verified, accepted)
        self.last.copy_(verified.tokens[:, -1])

    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        return super().before(anchor, position) + self.last


class NotAtThree(Sound):
    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        if self.k == 3:
            raise ValueError("not at three")
        return super().propose(anchor, position)


class ReadsOnTheHost(Sound):
    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        return torch.tensor([int(token) for token in super().before(anchor, position)])


class KeepsThePromptInPython(Sound):
    def start(self, prefill: TargetPass, row: int) -> None:
        super().start(prefill, row)
        self.second = {**getattr(self, "second", {}), row: int(prefill.tokens[0, 1])}

    def before(self, anchor: Tensor, position: Tensor) -> Tensor:
        return super().before(anchor, position) + torch.tensor([self.second[row] for row in range(len(anchor))])


class WritesWeights(Sound):
    """Only at k = 1 where decoding samples, so that no answer differs."""

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        super().observe(verified, accepted)
        if self.k == 1 and self.sampling.temperature:
            self.target.embed.weight[3] += 1


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (Narrow, "shapes", "k=2, 1 rows: tokens has shape [1, 1], not [1, 2]"),
        (Int32, "shapes", "k=1, 1 rows: tokens is int32"),
        (OutsideTheVocabulary, "shapes", "is no token from 0 to 23"),
        (Unnormalised, "shapes", "probs sums to 2.0000"),
        (CountsTooFar, "shapes", "count is [2], not from 0 to 1"),
        (Crashes, "shapes", "it raises ValueError: no idea"),
        (WritesKeys, "lossless", "k=2, prompt 0: token "),
        (Silent, "silent", "nothing drafted in 27 rounds"),
        (DeclaresAnother, "distribution", "drafts do not come from the probs of their proposal"),
        (ReadsTheDrawnToken, "distribution", "drafts do not come from the probs of their proposal"),
        (Unseeded, "seed", "prompt 0, round "),
        (ReadsTheFirstRow, "batch", "prompt 1, round "),
        (CountsPrompts, "new_prompt", "prompt 0, round "),
        (KeepsRejected, "rollback", "a fresh drafter ["),
        (NotAtThree, "every_k", "it raises ValueError: not at three"),
        (ReadsOnTheHost, "capture", "propose cannot be captured ("),
        (KeepsThePromptInPython, "capture", "round 0: ["),
        (WritesWeights, "weights", "embed_tokens.weight was written to"),
    ],
)  # fmt: skip
def test_a_broken_drafter_fails_exactly_one_check(broken: type, check: str, message: str) -> None:
    found = breaches(broken)
    assert list(found) == [check]
    assert message in found[check]


def test_a_silent_drafter_whose_record_says_so_is_sound() -> None:
    assert breaches(Silent, Kind("sound", may_be_silent=True)) == {}


def test_checks_that_say_nothing_are_skipped_with_the_reason() -> None:
    found = verdicts(Unseeded)
    skipped = {name: verdict.skipped for name, verdict in found.items() if verdict.skipped}
    assert skipped == dict.fromkeys(("batch", "new_prompt", "rollback", "capture"), "seed")
    assert {verdict.skipped for name, verdict in verdicts(Narrow).items() if name not in ("shapes", "weights")} == {
        "shapes"
    }


def test_writes_are_undone_for_the_checks_that_follow() -> None:
    before = {name: tensor.clone() for name, tensor in small_target().model.named_parameters()}
    assert list(breaches(WritesWeights)) == ["weights"]
    assert all(torch.equal(before[name], tensor) for name, tensor in small_target().model.named_parameters())
