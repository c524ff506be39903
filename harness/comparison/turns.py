"""One turn of a group of prompts, decoded by one arm after the other and appended to the journal as a whole.

The arms may be the harness's own or another engine's. An arm that fails leaves a row with its error, and the others
go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from harness.comparison.judge import Judgement
from harness.comparison.recorder import Recorded, Recorder, Turn
from harness.comparison.throttling import read_clocks
from harness.comparison.watchdog import Watch
from harness.metrics.clocks import ClockReading, record_of
from harness.records import disturbance
from harness.records.journal import GenerationKey
from harness.records.machine import gpu_name
from harness.records.rounds import Generation
from harness.vocabulary import BASELINE

#: Token ids of a prompt, of the baseline's answer and of an arm's to a verdict.
Judging = Callable[[Sequence[int], Sequence[int], Sequence[int]], Judgement]


class DecodesArms(Protocol):
    """The arms of one engine by name: their drafted tokens per round `k`, their drafters' `kind`, and how they run."""

    k: dict[str, int]
    kind: dict[str, str]

    def decode(
        self, arm: str, tokens: Sequence[list[int]], seed: int, answers: Sequence[list[int]]
    ) -> list[Generation]:
        """Prompts as one batch; `answers` are the baseline's, as far as they are known."""
        ...

    def drop(self, arm: str) -> None:
        """Forget what an error left of `arm`."""
        ...


class TurnDecoder:
    """Decodes turns with the arms of one engine.

    `done` holds the keys that need not be decoded again. `processes` names those whose CPU time is the run's own;
    None where they cannot be seen. `assumed` acceptance proves nothing, however high it is.
    """

    def __init__(
        self,
        recorder: Recorder,
        arms: DecodesArms,
        judge: Judging,
        done: set[GenerationKey],
        processes: Callable[[], list[int] | None],
        *,
        engine: str,
        assumed: bool = False,
    ) -> None:
        self.recorder, self.arms, self.judge, self.done = recorder, arms, judge, done
        self.processes, self.engine = processes, engine
        self.device = recorder.target.device
        self.watch = Watch(arms.kind, assumed=assumed)
        self.clocks: ClockReading | None = None  # the last reading

    def decode_turn(self, turn: Turn, order: Sequence[str]) -> None:
        """Decode the arms of `order` that the journal lacks on this turn. Raises GuardError for impossible numbers."""
        recorder = self.recorder
        clocks = self.clocks or self.read_clocks()
        known = recorder.answers(turn, BASELINE)
        finished: list[Recorded] = []
        for arm in order:
            missing = [prompt for prompt in turn.group.prompts if turn.key(prompt, arm) not in self.done]
            if not missing:
                continue
            recorder.progress.show(f"{turn.group.prompts[0].prompt_id} {arm}")
            result = self.decode_arm(turn, arm, known)
            rows = recorder.rows(turn, arm, result, engine=self.engine, num_draft_tokens=self.arms.k[arm])
            if arm == BASELINE:
                known |= {row.prompt_id: row.token_ids for row, _ in rows if row.status == "ok"}
            finished += [(row, rounds) for row, rounds in rows if row.key not in self.done]
            recorder.progress.advance(len(missing))
        self.clocks = self.read_clocks()
        for row, _ in finished:
            if row.machine:
                row.machine["clocks"] = [record_of(clocks), record_of(self.clocks)]
        decoded = [row for row, _ in finished if row.status == "ok"]
        for row in decoded:
            if row.arm != BASELINE:
                prompt_ids = turn.rendered[row.prompt_id].token_ids
                row.verdict, row.verdict_detail = self.judge(prompt_ids, known[row.prompt_id], row.token_ids)
        recorder.score(decoded, turn.prompts)
        recorder.append(finished)
        self.done |= {row.key for row, _ in finished}
        for row, rounds in finished:
            self.watch.take(row.arm, rounds)
        self.watch.check()

    def decode_arm(self, turn: Turn, arm: str, known: Mapping[str, list[int]]) -> list[Generation] | str:
        """The generations, or the error in one line. `known` are the baseline's answers by prompt id."""
        if not turn.prompts:
            return []
        answers = [known[prompt.prompt_id] for prompt in turn.prompts]
        seed = turn.group.seed(self.recorder.config.seed, turn.repeat)
        before = disturbance.read(self.processes())
        try:
            generations = self.arms.decode(arm, turn.tokens, seed, answers)
        except Exception as error:  # any failure of one arm is data
            self.recorder.log_error(arm, error)
            message = str(error).strip().splitlines()
            text = f"{type(error).__name__}: {message[0] if message else 'no message'}"
        else:
            threads = torch.get_num_threads() if self.device.type == "cpu" else 1
            seen = disturbance.between(before, disturbance.read(self.processes()), threads)
            disturbance.note(generations, seen)
            return generations
        # Outside the handler, where the traceback no longer keeps the failed arm's tensors alive.
        self.arms.drop(arm)
        return text

    def read_clocks(self) -> ClockReading:
        """Between turns, where a look at the hardware disturbs nothing that is timed."""
        return read_clocks(gpu_name(self.device))
