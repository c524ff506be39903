"""What comes out: greedy answers, sampled ones, and whether anything is drafted at all."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.base import Sampling
from drafters.sampling import token_probs
from harness.decoding.contract.subject import Seen, Subject, Watched
from harness.decoding.contract.uniform import chance, places
from harness.records.rounds import Generation

SAMPLING = Sampling(temperature=1.0)
#: A right drafter falls below this once in a million seeds, and the seed is fixed.
DOUBT = 1e-6
SAMPLED_ROWS = 32


def lossy(subject: Subject) -> str | None:
    """The first token of a greedy answer that is not the target's own."""
    for k in subject.widths:
        drafter = subject.make()
        for index, prompt in enumerate(subject.prompts):
            found = subject.decode(drafter, prompt, num_draft_tokens=k).token_ids
            for place, (mine, own) in enumerate(zip(found, subject.answers[index], strict=False)):
                if mine != own:
                    return f"k={k}, prompt {index}: token {place} is {mine}, the target's own is {own}"
    return None


def unlike_target(subject: Subject) -> str | None:
    """Whether sampled drafts miss the distribution that they declare, or sampled answers that of the target."""
    prompts = [subject.prompts[index % len(subject.prompts)] for index in range(SAMPLED_ROWS)]
    drafter = Watched(subject.make())
    found = subject.decode_together(drafter, prompts, temperature=SAMPLING.temperature)
    generator = torch.Generator().manual_seed(0)

    def judged(probs: list[Tensor], tokens: list[int]) -> float:
        if not probs:
            return 1.0
        uniform = torch.rand(len(tokens), generator=generator, dtype=torch.float64)
        return chance(places(torch.stack(probs).cpu(), torch.tensor(tokens), uniform))

    p = judged(*declared(drafter.seen, found))
    if p < DOUBT:
        return f"drafts do not come from the probs of their proposal (p = {p:.0e})"
    probs: list[Tensor] = []
    tokens: list[int] = []
    for prompt, generation in zip(prompts, found, strict=True):
        answer = generation.token_ids
        logits = subject.target.logits_of_last([*prompt, *answer[:-1]], len(answer))  # [answer, V]
        probs.extend(token_probs(logits, SAMPLING))
        tokens.extend(answer)
    p = judged(probs, tokens)
    return f"answers do not come from the target's distribution (p = {p:.0e})" if p < DOUBT else None


def declared(seen: list[Seen], found: list[Generation]) -> tuple[list[Tensor], list[int]]:
    """Drawn drafts and their declared distributions, one for each position: a second draw there has the same noise."""
    probs: list[Tensor] = []
    tokens: list[int] = []
    for row, generation in enumerate(found):
        known: set[int] = set()
        for one in seen[: len(generation.rounds)]:
            if one.proposal.probs is None:
                continue
            for step, token in enumerate(one.drafts(row)):
                position = int(one.position[row]) + 1 + step
                if position not in known:
                    known.add(position)
                    probs.append(one.proposal.probs[row, step])
                    tokens.append(token)
    return probs, tokens


def silent(subject: Subject) -> str | None:
    """Whether nothing is drafted for any prompt, and the record does not say that this may be."""
    drafter = subject.make()
    rounds = [one for prompt in subject.prompts for one in subject.decode(drafter, prompt).rounds]
    if any(one.drafted for one in rounds) or subject.kind.may_be_silent:
        return None
    return f"nothing drafted in {len(rounds)} rounds"
