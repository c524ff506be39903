"""The host's side of a batch: which prompt each row decodes, its answer so far, and when it ends."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from harness.decoding.clock import now
from harness.decoding.decoder import NO_TOKEN, Decoder, DecodeSettings, ScoresError, no_scores
from harness.records.rounds import Generation, Round
from harness.target.target import Target


@dataclass(frozen=True, slots=True)
class Limits:
    """When an answer ends."""

    max_new_tokens: int
    eos_token_ids: frozenset[int]

    def reached(self, generation: Generation) -> bool:
        """Whether the last token ends the answer; notes the reason."""
        if generation.token_ids[-1] in self.eos_token_ids:
            generation.finish_reason = "eos"
            return True
        return len(generation.token_ids) >= self.max_new_tokens


@dataclass(slots=True)
class Row:
    """One row of the batch."""

    index: int  # of the prompt
    generation: Generation
    prompt_length: int
    started: float
    pending_draft_s: float  # the drafter's own prefill, charged to the first round's draft time

    @property
    def anchor_position(self) -> int:
        return self.prompt_length + len(self.generation.token_ids) - 1

    def commit(self, k: int, report: list[int], limits: Limits) -> bool:
        """Append a round's verified tokens up to EOS or the length limit; True when the answer is finished.

        `report` is the row's part of what `Decoder.verify` returned. The round's times follow (`add_times`). Raises
        ScoresError for a token or a draft whose scores are NaN or infinite.
        """
        accepted, proposed, *tokens = report
        drafted = tuple(tokens[k + 1 : k + 1 + proposed])
        generation, position = self.generation, self.anchor_position
        emitted, finished = 0, False
        for token in tokens[: accepted + 1]:
            if token == NO_TOKEN:
                raise ScoresError(no_scores("the target", self.anchor_position + 1))
            generation.token_ids.append(token)
            emitted += 1
            if finished := limits.reached(generation):
                break
        # Checks all k drafts: a drafter without scores may look like one that is not sure enough to propose.
        if NO_TOKEN in tokens[k + 1 :]:
            raise ScoresError(no_scores("the drafter", position + 1 + tokens[k + 1 :].index(NO_TOKEN)))
        generation.rounds.append(
            Round(len(generation.rounds), position, proposed, accepted, emitted, None, None, None, drafted)
        )
        return finished

    def add_times(self, propose_s: float, verify_s: float, observe_s: float, other_s: float) -> None:
        """Add the times of the row's last round."""
        draft_s = propose_s + observe_s + self.pending_draft_s
        self.pending_draft_s = 0.0
        rounds = self.generation.rounds
        rounds[-1] = dataclasses.replace(rounds[-1], draft_s=draft_s, verify_s=verify_s, other_s=other_s)


#: Gets every batch before its clock starts, to read the answers while they grow.
_watcher: Callable[[Batch], None] | None = None


@contextmanager
def batches_shown_to(watcher: Callable[[Batch], None]) -> Iterator[None]:
    """Hand every batch to `watcher` before its clock starts. What it does later, in a thread, must be little."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


class Batch:
    """All prompts of one call, as many at a time as the decoder has rows; prompt i draws with `seed + i`."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]], seed: int, settings: DecodeSettings) -> None:
        self.decoder, self.seed = decoder, seed
        self.limits = Limits(settings.max_new_tokens, frozenset(settings.eos_token_ids))
        self.waiting = deque(enumerate(prompts))
        self.rows: list[Row | None] = [None] * decoder.batch_size
        self.done: dict[int, Generation] = {}
        self.device = decoder.target.device
        self.gpus = gpus(decoder.target)
        if _watcher is not None:
            _watcher(self)
        for device in self.gpus:
            torch.cuda.reset_peak_memory_stats(device)
        self.began = now(self.device)

    @property
    def live(self) -> list[Row]:
        """The rows that decode."""
        return [row for row in self.rows if row is not None]

    def answer(self, index: int) -> Generation | None:
        """The answer to prompt `index` as far as it goes; None while it waits or its prompt is read."""
        growing = (row.generation for row in self.rows if row is not None and row.index == index)
        return self.done.get(index) or next(growing, None)

    @property
    def furthest(self) -> int:
        """One past the furthest position that the next round writes."""
        return max(row.anchor_position for row in self.live) + self.decoder.k + 1

    def seat_waiting(self) -> list[Row]:
        """Start waiting prompts in all free rows; the rows that decode afterwards, none once all are done."""
        for slot in range(len(self.rows)):
            while self.rows[slot] is None and self.waiting:
                row = self.start(slot, *self.waiting.popleft())
                if self.limits.reached(row.generation):
                    self.finish(row)
                else:
                    self.rows[slot] = row
        return self.live

    def start(self, slot: int, index: int, prompt: Sequence[int]) -> Row:
        """Prefill one prompt into row `slot`. The time to the first token is the target's; the drafter reads later."""
        started = now(self.device)
        first, passes = self.decoder.prefill(slot, prompt, self.seed + index)
        answered = now(self.device)
        if self.decoder.drafter is not None:
            for seen in passes:
                self.decoder.drafter.start(seen, slot)
        generation = Generation([first], "length", prefill_s=answered - started)
        return Row(index, generation, len(prompt), answered, now(self.device) - answered)

    def commit(self, report: list[list[int]]) -> None:
        """Append what a round verified to every row that decodes; finished rows become free. Raises ScoresError."""
        for slot, row in enumerate(self.rows):
            if row is not None and row.commit(self.decoder.k, report[slot], self.limits):
                self.rows[slot] = None
                self.finish(row)

    def finish(self, row: Row) -> None:
        row.generation.decode_s = now(self.device) - row.started
        if self.gpus:
            row.generation.peak_memory_bytes = sum(map(torch.cuda.max_memory_allocated, self.gpus))
        self.done[row.index] = row.generation

    def generations(self) -> list[Generation]:
        """The finished answers in the prompts' order, each with its share of the wall time."""
        share = (now(self.device) - self.began) / len(self.done)
        for generation in self.done.values():
            generation.wall_share_s = share
        return [self.done[index] for index in range(len(self.done))]


def gpus(target: Target) -> list[torch.device]:
    """The GPUs that `target` is on."""
    return [device for device in target.placement.devices if device.type == "cuda"]
