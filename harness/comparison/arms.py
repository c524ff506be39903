"""The arms of a run, ready to decode: the baseline and one drafter each, with equal settings and equal capacity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from drafters.base import Replays, Sampling
from harness.comparison.models import Models, allocated_bytes, free_memory, settled_bytes
from harness.comparison.plan import PlannedArm
from harness.config import RunConfig
from harness.decoding import pool
from harness.decoding.compiled.program import prepare as make
from harness.decoding.decoder import DecodeSettings, ScoresError
from harness.decoding.loop import capacity_for, decode
from harness.decoding.thread_race import LOOK_S
from harness.records.rounds import Generation
from harness.vocabulary import BASELINE

WARM_UP_ROUNDS = 3
PROBED_ROUNDS = 16


class Arms:
    """Decodes with the baseline or any of `arms` by name.

    `longest` is the most tokens any prompt of the run may have: every arm reserves room for it at once, so that no
    storage grows between prompts.
    """

    def __init__(self, config: RunConfig, arms: Sequence[PlannedArm], models: Models, longest: int) -> None:
        self.models, self.target = models, models.target
        self.names = [BASELINE, *models.drafters]
        self.k = {BASELINE: 0, **{arm.name: arm.k for arm in arms}}
        self.kind = {BASELINE: BASELINE, **{arm.name: arm.arm.kind for arm in arms}}
        self.max_new_tokens, self.seed = config.max_new_tokens, config.seed
        self.verification = config.decoding.verification
        self.sampling = Sampling(config.decoding.temperature, config.decoding.top_k, config.decoding.top_p)
        self.rates = {arm.name: arm.arm.synthetic_acceptance for arm in arms}
        # Where the tokens are made up, which of them ends an answer is chance: all answers have full length.
        self.eos_token_ids = () if config.synthetic else self.target.eos_token_ids
        widest = max(self.k.values())
        self.capacity = capacity_for([[0] * longest], config.max_new_tokens, widest, self.target.execution)
        self.failures: dict[str, str] = {}  # programs that could not be compiled, and why
        self.apart: list[str] = []  # programs whose steps are not joined
        self.resident = {arm: models.weight_bytes.get(arm, 0) for arm in self.names}

    def decode(
        self,
        arm: str,
        tokens: Sequence[list[int]],
        seed: int,
        answers: Sequence[list[int]],
        *,
        warm_up_tokens: int | None = None,
    ) -> list[Generation]:
        """Prompts as one batch. `answers` are the baseline's, which an oracle replays.

        All arms' models lie in memory at once; the peak is reported as if this arm's alone did. `warm_up_tokens`
        replaces the run's length and lets no token end an answer. Raises ScoresError that names the arm.
        """
        drafter = self.models.drafters.get(arm)
        if isinstance(drafter, Replays):
            drafter.replay(answers)
        settings = self.settings(arm, warm_up_tokens)
        try:
            generations = decode(self.target, drafter, tokens, settings, seed=seed, capacity=self.capacity)
        except ScoresError as error:
            raise ScoresError(f"{arm}: {error}") from error
        others = sum(held for name, held in self.resident.items() if name != arm)
        for generation in generations:
            if generation.peak_memory_bytes is not None:
                generation.peak_memory_bytes -= others
        return generations

    def settings(self, arm: str, warm_up_tokens: int | None = None) -> DecodeSettings:
        """An arm's settings; `warm_up_tokens` as in `decode`."""
        return DecodeSettings(
            k=self.k[arm],
            max_new_tokens=self.max_new_tokens if warm_up_tokens is None else warm_up_tokens,
            sampling=self.sampling,
            verification=self.verification,
            eos_token_ids=self.eos_token_ids if warm_up_tokens is None else (),
            synthetic_acceptance=self.rates.get(arm, ()),
        )

    def compile_ahead(self, batch_size: int, lengths: Iterable[int], show: Callable[[str], None]) -> None:
        """Make the programs of all arms at once, those that an earlier run made excepted; only on a CPU."""
        chains, known = [], list(lengths)
        for arm in self.names:
            drafter, settings = self.models.drafters.get(arm), self.settings(arm)
            decoder = pool.get(self.target, drafter, settings, batch_size, self.capacity)
            chains += decoder.chains(known, self.max_new_tokens)
        make(chains, show)
        programs = [program for chain in chains for program, _ in chain.programs]
        self.failures |= {program.name: program.failure for program in programs if program.failure is not None}
        self.apart += [program.name for program in programs if program.apart is not None]

    def warm_up(
        self,
        tokens: Sequence[list[int]],
        lengths: Iterable[int],
        show: Callable[[str], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Decode a few uncounted rounds of every width on `tokens`: first calls compile, allocate and page in.

        Programs for prompts of these `lengths` are prepared too, so that no timed prompt waits for one. `show` takes a
        line about the arm that starts; `failed` takes an arm and its error, and the arm's storage is dropped.
        """
        preparing = {"compile": "compiling", "cuda_graph": "capturing"}.get(self.target.execution, "warming up")
        answers: list[list[int]] = [[] for _ in tokens]
        lengths = list(lengths)
        if self.target.makes_programs_ahead:
            self.compile_ahead(len(tokens), [*map(len, tokens), *lengths], show)
        for arm in self.names:
            show(f"{preparing} {arm}")
            before = allocated_bytes(self.target.device)
            try:
                warmed = self.warm_up_arm(arm, tokens, lengths, answers)
            except Exception as error:
                failed(arm, error)
                self.drop(arm)
                continue
            if arm == BASELINE:
                answers = [generation.token_ids for generation in warmed]
            self.resident[arm] += max(0, settled_bytes(self.target.device) - before)

    def warm_up_arm(
        self, arm: str, tokens: Sequence[list[int]], lengths: Iterable[int], answers: Sequence[list[int]] = ()
    ) -> list[Generation]:
        """The same for one arm, without end tokens, so that every width really runs. Raises what decoding raises."""
        length = min(self.max_new_tokens, WARM_UP_ROUNDS * (max(self.k.values()) + 1) + 1)
        generations = self.decode(arm, tokens, self.seed, answers, warm_up_tokens=length)
        pool.peek(self.target, self.models.drafters.get(arm)).prepare(lengths, self.max_new_tokens)
        return generations

    def rounds(self, arm: str, tokens: Sequence[list[int]]) -> float:
        """Seconds of a typical round of `arm`, from a few uncounted ones on `tokens`."""
        answers: list[list[int]] = [[] for _ in tokens]
        for count in (2, PROBED_ROUNDS):
            length = min(self.max_new_tokens, count * (self.k[arm] + 1) + 1)
            [first, *_] = self.decode(arm, tokens, self.seed, answers, warm_up_tokens=length)
            # A drafter's own prefill is charged to the first round.
            spent = [(r.draft_s or 0.0) + (r.verify_s or 0.0) + (r.other_s or 0.0) for r in first.rounds]
            spent = spent[1:] or spent
            if sum(spent) > LOOK_S:
                break
        return sum(spent) / len(spent)

    def drop(self, arm: str) -> None:
        """Forget an arm's storage, as after an error that left it in an unknown state."""
        pool.drop(self.target, self.models.drafters.get(arm))
        free_memory()
