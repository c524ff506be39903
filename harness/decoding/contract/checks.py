"""The contract: its checks in order, each a sentence on what is expected and a function that finds a breach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.decoding.contract.answers import lossy, silent, unlike_target
from harness.decoding.contract.captured import unlike_captured
from harness.decoding.contract.rows import not_at_every_k, not_rolled_back, remembers, unlike_alone, unseeded
from harness.decoding.contract.shapes import misshapen
from harness.decoding.contract.subject import Subject
from harness.target.target import Target


@dataclass(frozen=True, slots=True)
class Check:
    """`find` gives the first breach in words, None for none. It may raise what the drafter raises.

    `needs` is a check without which this one says nothing.
    """

    name: str
    expected: str
    find: Callable[[Subject], str | None]
    needs: str = "shapes"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check and its breach, None where the drafter keeps to it; or the broken check for which it was `skipped`."""

    check: Check
    found: str | None = None
    skipped: str | None = None


CHECKS = (
    Check(
        "shapes",
        "drafts int64 [B, k] of the vocabulary; probs None or [B, k, V] with sums of 1; count None or [B] from 0 to k",
        misshapen,
        needs="",
    ),
    Check("lossless", "greedy answers equal to the target's own at every k", lossy),
    Check("silent", "some draft in some round, or a record with may_be_silent=True", silent),
    Check("distribution", "sampled drafts from the probs of their proposal, answers from the target's", unlike_target),
    Check("seed", "the same drafts from the same seed", unseeded),
    Check("batch", "the same drafts in a batch as alone", unlike_alone, needs="seed"),
    Check("new_prompt", "the same drafts whatever prompt the row held before", remembers, needs="seed"),
    Check("rollback", "after a rejection, a fresh drafter's drafts on the same text", not_rolled_back, needs="seed"),
    Check("every_k", "a proposal of k drafts at every k, begun anew and twice from the same token", not_at_every_k),
    Check("capture", "calls without a wait for the host, whose state is in tensors", unlike_captured, needs="seed"),
)
#: Judged after all others, by what they left behind.
WEIGHTS = Check("weights", "no write to the target's weights", lambda subject: None, needs="")


class Weights:
    """A copy of the target's weights, to find and undo what was written to them."""

    def __init__(self, target: Target) -> None:
        self.held = {**dict(target.model.named_parameters()), **dict(target.model.named_buffers())}
        self.copies = {name: tensor.detach().clone() for name, tensor in self.held.items()}

    @torch.no_grad()
    def restore(self) -> list[str]:
        """Write the copies back; the names of those that had changed."""
        changed = [name for name, tensor in self.held.items() if not same(tensor, self.copies[name])]
        for name in changed:
            self.held[name].copy_(self.copies[name])
        return changed


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same bits, as far as equality can see; NaN is equal to itself."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def judge(subject: Subject, show: Callable[[str], None] = lambda name: None) -> Iterator[Verdict]:
    """Every check's verdict, in order; `show` takes the name of the one that begins.

    What was written to the target's weights is undone after each check, and judged last.
    """
    subject.answers  # noqa: B018  (the target's own, before the drafter is made)
    weights, written = Weights(subject.target), list[str]()
    broken: dict[str, str] = {}  # a check that says nothing now, and the first reason
    for check in CHECKS:
        if check.needs in broken:
            broken[check.name] = broken[check.needs]
            yield Verdict(check, skipped=broken[check.needs])
            continue
        show(check.name)
        verdict = find(check, subject)
        written += weights.restore()
        if verdict.found is not None:
            broken[check.name] = check.name
        yield verdict
    yield Verdict(WEIGHTS, f"{written[0]} was written to" if written else None)


def find(check: Check, subject: Subject) -> Verdict:
    """The verdict of one check; an exception is a breach."""
    try:
        return Verdict(check, check.find(subject))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Verdict(check, f"it raises {reason}")
