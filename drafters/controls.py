"""Drafters without a checkpoint, which calibrate the harness: a ceiling, a floor and a free lunch.

Their own work is next to nothing, so their arms show the cost of the loop and the verifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from drafters.base import Proposal, Sampling, TargetPass, TargetView
from drafters.errors import InputError

LONGEST_NGRAM = 1024  # each of its tokens costs a step in each round


class Control:
    """The common part of the controls: a record of token ids by position [B, capacity]."""

    taps: tuple[int, ...] = ()
    max_draft_tokens: int | None = None
    reach: int = 0
    serving: object = None

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        self.k, self.noise, self.vocab_size = k, noise, int(target.config.vocab_size)
        self.history = torch.zeros(batch_size, capacity, dtype=torch.long, device=target.device)

    def start(self, prefill: TargetPass, row: int) -> None:
        self.history[row, prefill.positions[0]] = prefill.tokens[0]

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        # Rejected tokens are written too; their positions lie at or after the new anchor and are written again.
        self.history.scatter_(1, verified.positions, verified.tokens)


class PromptLookupDrafter(Control):
    """Drafts what followed the last earlier occurrence of the current n-gram (prompt lookup decoding).

    Tries n-grams from `max_ngram` tokens down to one; where none occurs earlier, nothing is proposed.
    """

    name = "lookup"

    def __init__(self, max_ngram: int = 3) -> None:
        if isinstance(max_ngram, bool) or not isinstance(max_ngram, int) or not 1 <= max_ngram <= LONGEST_NGRAM:
            raise InputError(
                f"drafters.lookup.max_ngram is {max_ngram}, expected at least 1 and at most {LONGEST_NGRAM}"
            )
        self.max_ngram = max_ngram

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        history, length = self.history, self.history.shape[1]
        history.scatter_(1, position[:, None], anchor[:, None])
        slots = torch.arange(length, device=history.device)[None]  # [1, S]
        # run[b, s]: how many tokens ending at s equal the tokens ending at the anchor, up to max_ngram
        alive = slots < position[:, None]
        run = torch.zeros_like(history)
        for back in range(self.max_ngram):
            token = history.gather(1, (position - back).clamp_min(0)[:, None])  # [B, 1]
            shifted = torch.roll(history, back, dims=1)  # [b, s] = history[b, s - back]
            alive = alive & (shifted == token) & (slots >= back) & (position[:, None] >= back)
            run += alive
        score = torch.where(run > 0, run * length + slots, -1)  # the longest run, then the latest
        best, end = score.max(dim=1)
        wanted = end[:, None] + 1 + torch.arange(self.k, device=history.device)  # [B, k]
        # Past the anchor the continuation repeats itself, as an overlapping copy does.
        period = (position - end).clamp_min(1)[:, None]
        overshoot = (wanted - position[:, None]).clamp_min(0)
        wanted = torch.where(overshoot > 0, wanted - -(-overshoot // period) * period, wanted)
        tokens = history.gather(1, wanted.clamp(0, length - 1))
        return Proposal(tokens, count=torch.where(best >= 0, self.k, 0))


class OracleDrafter(Control):
    """Replays the target's own answer: every draft is accepted, and the cost of verifying remains.

    `replay` sets the answers before `begin`.
    """

    name = "oracle"
    scratch = ("_answers", "_next", "_answer")  # read by the host alone, so no program is made for what they hold

    def __init__(self) -> None:
        self.replay(())

    def replay(self, answers: Sequence[Sequence[int]]) -> None:
        """Set the baseline's tokens, one list per prompt in decoding order."""
        self._answers, self._next = answers, 0

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        super().begin(target, batch_size, capacity, k, sampling, noise)
        self._known = torch.zeros(batch_size, dtype=torch.long, device=target.device)  # end of the known answer

    def start(self, prefill: TargetPass, row: int) -> None:
        super().start(prefill, row)
        if int(prefill.positions[0, 0]) == 0:
            if self._next >= len(self._answers):
                raise ValueError(
                    f"the oracle knows {len(self._answers)} answers and was asked for number {self._next + 1}; "
                    "it replays the baseline, which must be decoded first"
                )
            self._answer = torch.tensor(list(self._answers[self._next]), device=self.history.device)
            self._next += 1
        begin = int(prefill.positions[0, -1]) + 1
        room = self.history.shape[1] - begin
        answer = self._answer[:room]
        self.history[row, begin : begin + len(answer)] = answer
        self._known[row] = begin + len(answer)

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        """Nothing to learn: the answer is known."""

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        wanted = position[:, None] + 1 + torch.arange(self.k, device=position.device)
        tokens = self.history.gather(1, wanted.clamp(max=self.history.shape[1] - 1))
        return Proposal(tokens, count=(self._known - 1 - position).clamp(0, self.k))


class RandomDrafter(Control):
    """Drafts uniform random tokens: the floor, and the proof that a wrong draft costs only speed."""

    name = "random"

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        wanted = position[:, None] + 1 + torch.arange(self.k, device=position.device)
        tokens = (self.noise.gather(1, wanted) * self.vocab_size).long()
        q = torch.full((*tokens.shape, self.vocab_size), 1.0 / self.vocab_size, device=tokens.device)
        return Proposal(tokens, q)
