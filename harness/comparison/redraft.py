"""Drafts again at every smaller k, from the answers of a finished run, where a smaller k drafts otherwise.

A block drafter at a smaller k sees fewer masks, so its drafts cannot be read off those of a larger block. The target
passes once over prompt and answer; the drafter then walks along the answer as in decoding, with the target's verdict
read off the answer. This is exact for greedy decoding, where the answer does not depend on k, and costs drafting
alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from drafters.base import Drafter, TargetPass
from drafters.gemma4 import position_addressed_attention
from harness.decoding.decoder import GREEDY, PREFILL_CHUNK
from harness.decoding.forced import forced_pass, part, read_prompt
from harness.records.files import REDRAFTED, replace_file
from harness.records.journal import GenerationKey
from harness.target.target import Target


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished generation: its prompt and its answer as token ids, and its arm's k."""

    key: GenerationKey
    prompt: Sequence[int]
    answer: Sequence[int]
    k: int


@torch.inference_mode()
def accepted_at(
    target: Target, drafter: Drafter, seen: TargetPass, prompt: Sequence[int], answer: Sequence[int], k: int
) -> list[int]:
    """Accepted drafts of every round that the answer takes at `k`, cut at its end."""
    capacity = seen.tokens.shape[1] + k + 2
    noise = torch.zeros(1, capacity, dtype=torch.float64, device=target.device)
    drafter.serving = None  # no decoder holds its rows any more
    drafter.begin(target.view(target.new_cache(1, capacity, k + 1)), 1, capacity, k, GREEDY, noise)
    drafter.reach = capacity
    read_prompt(drafter, seen, 0, len(prompt))
    found, place = [], 0  # of the anchor in the answer
    while place < len(answer) - 1:
        position = len(prompt) + place
        anchor = torch.tensor([answer[place]], device=target.device)
        proposal = drafter.propose(anchor, torch.tensor([position], device=target.device))
        drafts = proposal.tokens[0].tolist()[: k if proposal.count is None else int(proposal.count[0])]
        ahead = answer[place + 1 :]
        stands = next((i for i, (mine, real) in enumerate(zip(drafts, ahead, strict=False)) if mine != real),
                      min(len(drafts), len(ahead)))  # fmt: skip
        found.append(stands)
        place += stands + 1
        if place < len(answer) - 1:
            verified = part(seen, 0, position, position + stands + 1)
            drafter.observe(verified, torch.tensor([stands], device=target.device))
    return found


def redraft(target: Target, drafter: Drafter, recorded: Sequence[Recorded]) -> Iterator[dict[str, object]]:
    """One line for each generation and smaller k: the generation's key, k, rounds and accepted drafts."""
    for one in recorded:
        tokens = [*one.prompt, *one.answer]
        cache = target.new_cache(1, len(tokens), max(one.k + 1, PREFILL_CHUNK))
        seen = forced_pass(target, cache, [tokens], drafter.taps)
        for k in range(1, one.k):
            with position_addressed_attention(target.config):
                accepted = accepted_at(target, drafter, seen, one.prompt, one.answer, k)
            yield {**one.key._asdict(), "k": k, "rounds": len(accepted), "accepted": accepted}


def write_redrafted(run_dir: Path, lines: Sequence[dict[str, object]]) -> None:
    """Keep the lines beside the records."""
    replace_file(run_dir / REDRAFTED, "".join(json.dumps(line) + "\n" for line in lines))
