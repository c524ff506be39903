"""The device side of the loop: the state of a batch in place, and the three programs of a round over it.

No method of a round waits for the device, and every tensor of a round keeps its shape; `harness.decoding.loop` calls
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drafters.base import Drafter, Proposal, Sampling, TargetPass
from drafters.gemma4 import position_addressed_attention
from drafters.kernels.pieces import run_piece
from drafters.sampling import chosen_by_numbers, draw, token_probs
from harness.config.checks import LARGEST_SEED
from harness.decoding.clock import now
from harness.decoding.compiled.program import Chain
from harness.decoding.compiled.program import prepare as make
from harness.decoding.programs import REACH_STEP, Codes, Program, ahead, chain_of, program
from harness.decoding.verify import Accepted, greedy, rejection, sample_and_match, synthetic
from harness.target.target import Target
from harness.vocabulary import BASELINE

GREEDY = Sampling()
NO_TOKEN = -1  # in a round's report: the scores are NaN or infinite, so no token can be chosen
PREFILL_CHUNK = 512
#: Attributes of a decoder that none of its programs read.
OF_THE_HOST = {"programs", "prepared", "codes", "preparation_s", "settings", "execution"}


class ScoresError(RuntimeError):
    """Scores from which a token would be chosen are NaN or infinite. The message names the model and the place."""


@dataclass(frozen=True)
class DecodeSettings:
    """Everything that decides the tokens of a generation besides models and prompt."""

    k: int = 0
    max_new_tokens: int = 64
    sampling: Sampling = GREEDY
    verification: str = "rejection"  # "rejection" | "match"; greedy decoding always matches
    eos_token_ids: tuple[int, ...] = ()
    #: Accept at these unconditional rates per position instead of by comparison; the output is then no answer.
    synthetic_acceptance: tuple[float, ...] = ()

    @property
    def in_programs(self) -> tuple[int, Sampling, str, tuple[float, ...]]:
        """The settings that a round's programs read; the host reads the others."""
        return self.k, self.sampling, self.verification, self.synthetic_acceptance


def noise_table(seed: int, stream: int, length: int, width: int) -> Tensor:
    """Uniform numbers [length, width] in [0, 1), a function of seed, stream and index alone.

    Counter-based, so a longer table starts with the same numbers and neither batch nor drafter can shift them. After
    the last seed of 64 bits comes seed 0.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed & LARGEST_SEED, stream], dtype=np.uint64)))
    return torch.from_numpy(generator.random((length, width)))


@dataclass(frozen=True, slots=True)
class RoundPrograms:
    """The three device programs of a round, for one reach."""

    propose: Program
    verify: Program
    observe: Program


class Decoder:
    """Decodes prompts with one target, one drafter and one way of drawing tokens, `batch_size` rows at a time.

    A row that finishes is replaced by the next waiting prompt. State lives in place, in tensors of fixed shape.
    """

    def __init__(
        self,
        target: Target,
        drafter: Drafter | None,
        settings: DecodeSettings,
        batch_size: int,
        capacity: int,
        execution: str = "eager",
        codes: Codes | None = None,
    ) -> None:
        self.target, self.drafter, self.settings, self.execution = target, drafter, settings, execution
        self.k = settings.k if drafter is not None else 0
        self.taps = drafter.taps if drafter is not None else ()
        self.capacity, self.batch_size = capacity, batch_size
        self.cache = target.new_cache(batch_size, capacity, self.k + 1)
        device = target.device
        self.anchor = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.position = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.offsets = torch.arange(self.k + 1, device=device)
        self.noise = torch.zeros(batch_size, capacity, 2, dtype=torch.float64, device=device)
        self.draft_noise = torch.zeros(batch_size, capacity, dtype=torch.float64, device=device)
        if drafter is not None:
            drafter.serving = self
            drafter.begin(target.view(self.cache), batch_size, capacity, self.k, settings.sampling, self.draft_noise)
        # A drafter with fewer drafts than rates takes the first of them; positions without a rate are never accepted.
        rates = (settings.synthetic_acceptance + (0.0,) * self.k)[: self.k]
        self.rates = torch.tensor(rates, dtype=torch.float64, device=device)
        self.programs: dict[int, RoundPrograms] = {}
        self.prepared: set[int] = set()  # reaches whose programs have run
        self.made_ahead = target.makes_programs_ahead
        self.codes: Codes = {} if codes is None else codes
        self.preparation_s = 0.0  # seconds of compilation and capture, no part of any generation's time

    @property
    def holds_its_drafter(self) -> bool:
        """Whether its drafter still holds its rows: a drafter serves one decoder at a time."""
        return self.drafter is None or self.drafter.serving is self

    # -- the three device programs of a round ------------------------------------------------------------------------

    def propose(self) -> Proposal:
        if self.drafter is None:
            return Proposal(self.anchor.new_zeros(self.anchor.shape[0], 0))
        return self.drafter.propose(self.anchor, self.position)

    def verify(self, proposal: Proposal) -> tuple[TargetPass, Accepted, Tensor]:
        """One target pass over anchor and drafts, the accept rule, and the move of every row to its new anchor.

        The third result, the round's report, is all that the host reads: [B, 1 + 1 + (k+1) + k] with the accepted
        count, the proposed count, the verified tokens and the drafts. NO_TOKEN stands for a token whose scores are NaN
        or infinite.
        """
        tokens = torch.cat((self.anchor[:, None], proposal.tokens), dim=1)  # [B, k+1]
        positions = self.position[:, None] + self.offsets  # [B, k+1]
        seen = self.target.run(self.cache, tokens, positions, self.taps)
        accepted, report = run_piece(self.settle, proposal, seen.hidden, positions)
        return seen, accepted, report

    def settle(self, proposal: Proposal, hidden: Tensor, positions: Tensor) -> tuple[Accepted, Tensor]:
        """Accept, move on and report after the pass that gave `hidden` [B, k+1, H] at `positions` [B, k+1]."""
        accepted, finite = self.accept(proposal, self.target.logits(hidden), positions + 1)
        # Rejected rows are left behind: their positions will be written again.
        self.anchor.copy_(accepted.tokens.gather(1, accepted.drafts[:, None]).squeeze(1))
        # A finished row keeps decoding until it is replaced; it must not walk out of its storage.
        self.position.copy_((self.position + accepted.drafts + 1).clamp(max=self.capacity - self.k - 2))
        proposed = torch.full_like(accepted.drafts, self.k) if proposal.count is None else proposal.count
        tokens, drafts = accepted.tokens.masked_fill(~finite, NO_TOKEN), proposal.tokens
        if proposal.finite is not None:
            drafts = drafts.masked_fill(~proposal.finite, NO_TOKEN)
        report = torch.cat((accepted.drafts[:, None], proposed[:, None], tokens, drafts), dim=1)
        return accepted, report

    def accept(self, proposal: Proposal, logits: Tensor, drawn: Tensor) -> tuple[Accepted, Tensor]:
        """Apply the accept rule to `logits` [B, k+1, V] of the tokens at positions `drawn` [B, k+1].

        The second result marks the positions [B, k+1] whose scores are finite.
        """
        draft, sampling = proposal.tokens, self.settings.sampling
        if self.settings.synthetic_acceptance and self.k:
            uniform = self.noise[..., 0].gather(1, drawn[:, :1]).squeeze(1)  # [B]
            best = logits.argmax(dim=-1)
            return synthetic(draft, best, self.rates, uniform, proposal.count), chosen_by_numbers(logits, best)
        if sampling.temperature == 0:
            accepted = greedy(draft, logits, proposal.count)
            return accepted, chosen_by_numbers(logits, accepted.tokens)
        p = token_probs(logits, sampling)
        finite = p[..., 0].isfinite()  # softmax spreads NaN over all tokens
        uniform = self.noise.gather(1, drawn[..., None].expand(-1, -1, 2))  # [B, k+1, 2]
        if self.settings.verification == "match":
            return sample_and_match(draft, p, uniform[..., 1], proposal.count), finite
        accepted = rejection(draft, proposal.probs, p, uniform[:, : self.k, 0], uniform[..., 1], proposal.count)
        return accepted, finite

    def observe(self, seen: TargetPass, accepted: Accepted) -> None:
        if self.drafter is not None:
            self.drafter.observe(seen, accepted.drafts)

    # -- first uses --------------------------------------------------------------------------------------------------

    def reach_of(self, position: int) -> int:
        """The cache bucket for a furthest row at `position`: slots of the full buffers that a round reads.

        Programs made ahead of time pass over slots that no query sees, so that one bucket is enough.
        """
        if self.made_ahead:
            return self.capacity
        step = REACH_STEP[self.execution]
        return min(self.capacity, -(-position // step) * step)

    def read_up_to(self, reach: int) -> None:
        """Let rounds read the full buffers up to slot `reach`."""
        self.cache.reach = reach
        if self.drafter is not None:
            self.drafter.reach = reach

    def set_reach(self, reach: int) -> RoundPrograms:
        """The programs for the cache bucket `reach`, with cache and drafter set to it."""
        self.read_up_to(reach)
        if reach not in self.programs:
            made_for = (*self.settings.in_programs, self.batch_size, self.capacity, reach)
            parts = (self.propose, self.verify, self.observe)
            if self.made_ahead:
                name = self.drafter.name if self.drafter is not None else BASELINE
                ready: list[Program] = [ahead(name, part, self.target.config, self.state) for part in parts]
            else:
                ready = [program(part, self.execution, self.codes, made_for) for part in parts]
            self.programs[reach] = RoundPrograms(*ready)
        return self.programs[reach]

    def state(self) -> dict[str, Any]:
        """Everything that its programs can read."""
        held = {name: value for name, value in vars(self).items() if name not in OF_THE_HOST}
        return {"decoder": held, "settings": self.settings.in_programs}

    def reaches(self, length: int, max_new_tokens: int) -> set[int]:
        """Every reach that rounds of an answer of up to `max_new_tokens` to a prompt of `length` tokens can have."""
        step, longest = REACH_STEP[self.execution], length + max_new_tokens + self.k
        return {self.reach_of(min(at, longest)) for at in range(length + self.k + 1, longest + step, step)}

    def chains(self, lengths: Iterable[int], max_new_tokens: int) -> list[Chain]:
        """The programs that are made ahead of time for the same answers as in `prepare`, as far as they are missing."""
        if not self.made_ahead:
            return []
        wanted = {reach for length in set(lengths) for reach in self.reaches(length, max_new_tokens)}
        return [self.chain(reach) for reach in sorted(wanted - self.prepared)]

    def chain(self, reach: int) -> Chain:
        parts: Any = self.set_reach(reach)
        return chain_of(parts.propose, parts.verify, parts.observe, lambda: self.read_up_to(reach))

    @torch.inference_mode()
    def prepare(self, lengths: Iterable[int], max_new_tokens: int) -> None:
        """Compile or capture every program that answers of up to `max_new_tokens` to prompts of these `lengths` call.

        It runs on the decoder's state, so no row may be decoding.
        """
        if self.execution == "eager":
            return
        started = now(self.target.device)
        wanted = {reach for length in set(lengths) for reach in self.reaches(length, max_new_tokens)}
        with position_addressed_attention(self.target.config):
            for reach in sorted(wanted - self.prepared):
                self.prepare_reach(reach)
                self.prepared.add(reach)
        self.preparation_s += now(self.target.device) - started

    def prepare_reach(self, reach: int) -> None:
        """Make the programs for `reach` and call them for the first time."""
        programs = self.set_reach(reach)
        if self.made_ahead:
            make([self.chain(reach)])
        for _ in range(2):  # a first call may still allocate state that the second depends on
            self.anchor.zero_()
            self.position.zero_()
            proposal = programs.propose()
            seen, accepted, _report = programs.verify(proposal)
            programs.observe(seen, accepted)

    # -- one prompt into one row -------------------------------------------------------------------------------------

    def prefill(self, row: int, prompt: Sequence[int], seed: int) -> tuple[int, list[TargetPass]]:
        """Run a prompt through the target and draw its first token; also returns the passes, for the drafter to read.

        Raises ScoresError where the target's scores for that token are NaN or infinite.
        """
        device, sampling = self.target.device, self.settings.sampling
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
            scores, first = logits, logits.argmax(dim=-1)
        else:
            scores = token_probs(logits, sampling)
            first = draw(scores, self.noise[row : row + 1, len(prompt), 1])
        self.anchor[row] = first[0]
        self.position[row] = len(prompt)
        token = int(first.masked_fill(~chosen_by_numbers(scores, first), NO_TOKEN))
        if token == NO_TOKEN:
            raise ScoresError(no_scores("the target", len(prompt)))
        return token, passes


def no_scores(whose: str, position: int) -> str:
    """The message where no token can be chosen for `position`."""
    return (
        f"the scores of {whose} for the token at position {position} are NaN or infinite, so no token can be chosen: "
        "check the checkpoint's weights and target.dtype (float16 overflows where bfloat16 and float32 do not)"
    )
