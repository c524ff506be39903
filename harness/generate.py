"""The loop: one for the baseline and for every drafter.

    prefill -> [ propose k -> verify k+1 in one target pass -> accept -> commit -> observe ]*

The baseline is the same loop with zero draft tokens, so a difference in the numbers is a difference between drafting
strategies. All tensors of a round keep their shape; a round ends with one small read by the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from drafters.base import Drafter, Proposal, Sampling, TargetPass
from drafters.sampling import draw, token_probs
from harness.clock import Clock, now
from harness.records import Generation, Round
from harness.target import Target
from harness.verify import Accepted, greedy, rejection, sample_and_match

GREEDY = Sampling()
PREFILL_CHUNK = 512
REACH_STEP = 64  # eager full-attention reads grow in these steps, so that shapes seldom change


@dataclass(frozen=True)
class Settings:
    """What decides the tokens of a generation, apart from models and prompt."""

    k: int = 0
    max_new_tokens: int = 64
    sampling: Sampling = GREEDY
    verification: str = "rejection"  # "rejection" | "match"; greedy decoding always matches
    eos_token_ids: tuple[int, ...] = ()


def noise_table(seed: int, stream: int, length: int, width: int) -> Tensor:
    """Uniform numbers [length, width] in [0, 1), a function of seed, stream and index alone.

    Counter-based, so a longer table starts with the same numbers and neither batch nor drafter can shift them.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))
    return torch.from_numpy(generator.random((length, width)))


@dataclass(slots=True)
class Row:
    """The host's side of one row of the batch."""

    index: int  # which prompt
    generation: Generation
    prompt_length: int
    started: float
    pending_draft_s: float = 0.0  # the drafter's own prefill, charged to the first round's draft time

    @property
    def anchor_position(self) -> int:
        return self.prompt_length + len(self.generation.token_ids) - 1


class Decoder:
    """Decodes prompts with one target, one drafter and one set of settings, `batch_size` rows at a time.

    A row that finishes is replaced by the next waiting prompt.
    """

    def __init__(
        self, target: Target, drafter: Drafter | None, settings: Settings, batch_size: int, capacity: int
    ) -> None:
        self.target, self.drafter, self.settings = target, drafter, settings
        self.k = settings.k if drafter is not None else 0
        self.taps = drafter.taps if drafter is not None else ()
        self.capacity = capacity
        self.cache = target.new_cache(batch_size, capacity, self.k + 1)
        device = target.device
        self.anchor = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.position = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.offsets = torch.arange(self.k + 1, device=device)
        self.noise = torch.zeros(batch_size, capacity, 2, dtype=torch.float64, device=device)
        self.draft_noise = torch.zeros(batch_size, capacity, dtype=torch.float64, device=device)
        if drafter is not None:
            drafter.begin(
                target.view(self.cache), batch_size, capacity, self.k, settings.sampling, self.draft_noise
            )

    # -- the three device programs of a round ------------------------------------------------------------------------

    def propose(self) -> Proposal:
        if self.drafter is None:
            return Proposal(self.anchor.new_zeros(self.anchor.shape[0], 0))
        return self.drafter.propose(self.anchor, self.position)

    def verify(self, proposal: Proposal) -> tuple[TargetPass, Accepted]:
        """One target pass over anchor and drafts, then the accept rule."""
        tokens = torch.cat((self.anchor[:, None], proposal.tokens), dim=1)  # [B, k+1]
        positions = self.position[:, None] + self.offsets  # [B, k+1]
        seen = self.target.run(self.cache, tokens, positions, self.taps)
        return seen, self.accept(proposal, self.target.logits(seen.hidden), positions + 1)

    def accept(self, proposal: Proposal, logits: Tensor, drawn: Tensor) -> Accepted:
        """Apply the accept rule to `logits` [B, k+1, V] of the tokens at positions `drawn` [B, k+1]."""
        draft, sampling = proposal.tokens, self.settings.sampling
        if sampling.temperature == 0:
            return greedy(draft, logits, proposal.count)
        p = token_probs(logits, sampling)
        uniform = self.noise.gather(1, drawn[..., None].expand(-1, -1, 2))  # [B, k+1, 2]
        if self.settings.verification == "match":
            return sample_and_match(draft, p, uniform[..., 1], proposal.count)
        return rejection(
            draft, proposal.probs, p, uniform[:, : self.k, 0], uniform[..., 1], proposal.count
        )

    def commit(self, accepted: Accepted) -> None:
        """Move every row to its new anchor. Rejected rows are left behind: their positions will be written again."""
        self.anchor.copy_(accepted.tokens.gather(1, accepted.drafts[:, None]).squeeze(1))
        # A finished row keeps decoding until it is replaced; it must not walk out of its storage.
        self.position.copy_((self.position + accepted.drafts + 1).clamp_(max=self.capacity - self.k - 2))

    # -- one prompt into one row -------------------------------------------------------------------------------------

    def prefill(self, row: int, index: int, prompt: Sequence[int], seed: int) -> Row:
        """Run a prompt through the target and draw its first token; then let the drafter read the same passes."""
        device, sampling = self.target.device, self.settings.sampling
        started = now(device)
        self.noise[row] = noise_table(seed, 0, self.capacity, 2)
        self.draft_noise[row] = noise_table(seed, 1, self.capacity, 1)[:, 0]
        tokens = torch.tensor([list(prompt)], device=device)
        positions = torch.arange(len(prompt), device=device)[None]
        cache = self.cache.row(row)
        passes = []
        for begin in range(0, len(prompt), PREFILL_CHUNK):
            end = min(begin + PREFILL_CHUNK, len(prompt))
            cache.reach = end
            passes.append(self.target.run(cache, tokens[:, begin:end], positions[:, begin:end], self.taps))
        logits = self.target.logits(passes[-1].hidden[:, -1])  # [1, V]
        if sampling.temperature == 0:
            first = logits.argmax(dim=-1)
        else:
            first = draw(token_probs(logits, sampling), self.noise[row : row + 1, len(prompt), 1])
        self.anchor[row] = first[0]
        self.position[row] = len(prompt)
        generation = Generation([int(first)], "length")
        first_token_at = now(device)
        generation.prefill_s = first_token_at - started
        if self.drafter is not None:
            for seen in passes:
                self.drafter.start(seen, row)
        ready = now(device)
        return Row(index, generation, len(prompt), first_token_at, ready - first_token_at)

    # -- host side ---------------------------------------------------------------------------------------------------

    def absorb(self, row: Row, tokens: list[int], count: int, drafted: tuple[int, ...], laps: list[float]) -> bool:
        """Commit a row's verified tokens up to EOS or the length limit; True when the row is finished."""
        generation, limit = row.generation, self.settings.max_new_tokens
        position = row.anchor_position
        emitted = 0
        finished = False
        for token in tokens[: count + 1]:
            generation.token_ids.append(token)
            emitted += 1
            if token in self.settings.eos_token_ids:
                generation.finish_reason, finished = "eos", True
            elif len(generation.token_ids) >= limit:
                finished = True
            if finished:
                break
        draft_s, verify_s, observe_s, other_s = laps
        draft_s += row.pending_draft_s + observe_s
        row.pending_draft_s = 0.0
        generation.rounds.append(
            Round(
                len(generation.rounds), position, len(drafted), count, emitted, draft_s, verify_s, other_s, drafted
            )
        )
        return finished

    def is_finished_at_once(self, row: Row) -> bool:
        first = row.generation.token_ids[0]
        if first in self.settings.eos_token_ids:
            row.generation.finish_reason = "eos"
            return True
        return self.settings.max_new_tokens <= 1

    @torch.inference_mode()
    def run(self, prompts: Sequence[Sequence[int]], seed: int) -> list[Generation]:
        """Decode all `prompts`; prompt i draws with `seed + i`."""
        device = self.target.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        waiting = list(enumerate(prompts))
        rows: list[Row | None] = [None] * self.anchor.shape[0]
        done: dict[int, Generation] = {}
        clock = Clock(device)

        def finish(row: Row) -> None:
            row.generation.decode_s = now(device) - row.started
            if device.type == "cuda":
                row.generation.peak_memory_bytes = torch.cuda.max_memory_allocated(device)
            done[row.index] = row.generation

        while True:
            for slot, current in enumerate(rows):
                while current is None and waiting:
                    index, prompt = waiting.pop(0)
                    current = self.prefill(slot, index, prompt, seed + index)
                    if self.is_finished_at_once(current):
                        finish(current)
                        current = None
                rows[slot] = current
            live = [row for row in rows if row is not None]
            if not live:
                break

            furthest = max(row.anchor_position for row in live) + self.k + 1
            self.cache.reach = min(self.capacity, -(-furthest // REACH_STEP) * REACH_STEP)
            clock.mark()
            proposal = self.propose()
            clock.mark()
            seen, accepted = self.verify(proposal)
            clock.mark()
            self.commit(accepted)
            if self.drafter is not None:
                self.drafter.observe(seen, accepted.drafts)
            clock.mark()
            proposed = torch.full_like(accepted.drafts, self.k) if proposal.count is None else proposal.count
            read = torch.cat(
                (accepted.drafts[:, None], proposed[:, None], accepted.tokens, proposal.tokens), dim=1
            ).tolist()  # the one synchronisation of a round
            clock.mark()
            laps = clock.laps()
            for slot, row in enumerate(rows):
                if row is None:
                    continue
                count, drafted, *tokens = read[slot]
                verified, draft = tokens[: self.k + 1], tokens[self.k + 1 :]
                if self.absorb(row, verified, count, tuple(draft[:drafted]), laps):
                    finish(row)
                    rows[slot] = None
        return [done[index] for index in range(len(prompts))]


def capacity_for(prompts: Sequence[Sequence[int]], max_new_tokens: int, k: int) -> int:
    """Positions a run needs, rounded up so that similar prompts share one storage size."""
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens + k + 2
    return -(-longest // REACH_STEP) * REACH_STEP


def decode(
    target: Target,
    drafter: Drafter | None,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    *,
    seed: int = 0,
    batch_size: int | None = None,
) -> list[Generation]:
    """Decode token-id prompts as batches of `batch_size` rows (all at once by default)."""
    size = min(batch_size or len(prompts), len(prompts))
    decoder = Decoder(target, drafter, settings, size, capacity_for(prompts, settings.max_new_tokens, settings.k))
    return decoder.run(prompts, seed)
