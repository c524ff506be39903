"""What a drafter keeps between rounds: of rejected drafts, of other rows, of earlier prompts."""

from __future__ import annotations

import torch

from drafters.gemma4 import position_addressed_attention
from harness.decoding.contract.subject import Seen, Subject, Watched, opened
from harness.records.rounds import Generation

#: How many drafts a steered drafter has right, by turns.
RIGHT = (0, 2, 1, 3)


def first_difference(mine: list[Generation] | Generation, other: list[Generation] | Generation) -> str | None:
    """The first round of two decodings of the same prompts in which the drafts differ."""
    if isinstance(mine, Generation) or isinstance(other, Generation):
        mine, other = [mine], [other]  # type: ignore[list-item]
    for index, (a, b) in enumerate(zip(mine, other, strict=True)):
        for one, two in zip(a.rounds, b.rounds, strict=False):
            if one.draft_token_ids != two.draft_token_ids:
                drafts, others = list(one.draft_token_ids), list(two.draft_token_ids)
                return f"prompt {index}, round {one.round}: {drafts}, then {others}"
    return None


def unlike_alone(subject: Subject) -> str | None:
    """The first round in which a row of a batch drafts what its prompt alone would not."""
    for temperature in (0.0, 1.0):
        together = subject.decode_together(subject.make(), subject.prompts, temperature=temperature)
        alone = [
            subject.decode(subject.make(), prompt, temperature=temperature, seed=index)
            for index, prompt in enumerate(subject.prompts)
        ]
        if (found := first_difference(together, alone)) is not None:
            return found
    return None


def remembers(subject: Subject) -> str | None:
    """The first round that drafts otherwise once another prompt had the row before."""
    drafter, (first, other, *_) = subject.make(), subject.prompts
    before = subject.decode(drafter, first)
    subject.decode(drafter, other)
    return first_difference(before, subject.decode(drafter, first))


def unseeded(subject: Subject) -> str | None:
    """The first sampled round that differs between two fresh drafters of one seed."""
    one, two = (subject.decode(subject.make(), subject.prompts[0], temperature=1.0, seed=5) for _ in range(2))
    return first_difference(one, two)


def not_rolled_back(subject: Subject) -> str | None:
    """The first round that drafts otherwise than a fresh drafter which reads the same text.

    The drafts are steered, so that rounds reject after none, one, two and three of them.
    """
    prompt, answer = subject.prompts[0], subject.answers[0]
    text = [*prompt, *answer]

    def steer(seen: Seen) -> list[int]:
        own = seen.proposal.tokens[0].tolist()
        begin = int(seen.position[0]) + 1
        right = min(RIGHT[len(drafter.seen) % len(RIGHT)], len(own))
        out = [*text[begin : begin + right], *own[right:]]
        if right < len(out) and begin + right < len(text) and out[right] == text[begin + right]:
            out[right] = (out[right] + 1) % subject.target.vocab_size
        return out

    drafter = Watched(subject.make(), steer=steer)
    subject.decode(drafter, prompt)
    for index, seen in enumerate(drafter.seen):
        begin = int(seen.position[0])
        if begin >= len(prompt) + subject.tokens:
            break
        fresh = Watched(subject.make())
        subject.decode(fresh, text[:begin], max_new_tokens=2)
        mine, own = seen.drafts(0), fresh.seen[0].drafts(0)
        length = min(len(mine), len(own))  # how many may depend on past rounds
        if int(fresh.seen[0].anchor[0]) == text[begin] and mine[:length] != own[:length]:
            return f"round {index}, {begin} tokens before: {mine[:length]}, a fresh drafter {own[:length]}"
    return None


def not_at_every_k(subject: Subject) -> str | None:
    """The first k at which one drafter, begun anew, cannot draft twice from the same token, as cost tables ask."""
    drafter = subject.make()
    for k in range(subject.block, 0, -1):
        decoder = opened(subject, drafter, k, subject.prompts[0])
        for _ in range(2):
            anchor, position = decoder.anchor.clone(), decoder.position.clone()
            with torch.inference_mode(), position_addressed_attention(subject.target.config):
                proposal = decoder.propose()
                if proposal.tokens.shape != (1, k):
                    return f"k={k}: tokens has shape {list(proposal.tokens.shape)}"
                seen, accepted, _report = decoder.verify(proposal)
                decoder.observe(seen, accepted)
            decoder.anchor.copy_(anchor)
            decoder.position.copy_(position)
    return None
