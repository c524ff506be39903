"""The comparison itself: every arm decodes every prompt, beside each other and in a counterbalanced order.

Arms of a prompt run back to back, so that whatever drifts (clocks, heat, neighbours) falls on all of them. An arm that
fails leaves a row that says so, and the others go on.
"""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import distributed

from harness.comparison.arms import Arms
from harness.comparison.judge import Judge, NoJudge
from harness.comparison.models import Models
from harness.comparison.plan import Plan
from harness.comparison.resumption import settled
from harness.comparison.schedule import Group, arm_order
from harness.comparison.throttling import gpu_name, read_clocks
from harness.comparison.watchdog import Watch
from harness.comparison.width_probe import write_width_probe
from harness.config import RunConfig
from harness.decoding.api import check_prompts
from harness.errors import InputError
from harness.metrics.clocks import ClockReading, record_of
from harness.progress import RunProgress, warn
from harness.records import disturbance
from harness.records.files import naming
from harness.records.journal import GenerationKey, GenerationRow, Journal
from harness.records.rounds import Generation, Round
from harness.tasks.chat import Chat, Rendered, check_length
from harness.tasks.prompts import Prompt
from harness.tasks.scoring.scorer import Scorer
from harness.tasks.token_texts import token_pieces
from harness.vocabulary import BASELINE, HARNESS

ERROR_LOG = "errors.log"


@dataclass(slots=True)
class Conversation:
    """One prompt on its way through its turns."""

    prompt: Prompt
    answers: list[str] = field(default_factory=list)
    broken: str | None = None  # why later turns cannot be asked


class Comparison:
    """Decodes groups of prompts with every arm and appends what comes out to the journal."""

    def __init__(
        self, config: RunConfig, plan: Plan, models: Models, chat: Chat, journal: Journal, progress: RunProgress
    ) -> None:
        self.config, self.plan, self.chat = config, plan, chat
        self.models, self.target = models, models.target
        self.journal, self.progress = journal, progress
        self.engine = HARNESS
        self.judge = (NoJudge if config.synthetic else Judge)(models.target, config.decoding)
        self.scorer = Scorer(config.dataset.scorer, config.scoring)
        self.names = [BASELINE, *models.drafters]
        self.clocks: ClockReading | None = None  # the last look at them
        self.done = settled(journal.rows, self.names, together=True, retry_errors=config.retry_errors)

    def run(self, groups: Sequence[Group]) -> None:
        """Warm up, then all groups in order. Raises GuardError when numbers come out that cannot be true."""
        longest = max(self.longest(prompt) for group in groups for prompt in group.prompts)
        self.arms = Arms(self.config, self.plan, self.models, min(longest, self.plan.context))
        self.watch = Watch(self.arms.kind, assumed=bool(self.config.synthetic))
        first = [self.chat.render(prompt, []).token_ids for prompt in groups[0].prompts]
        self.arms.warm_up(
            *(first, self.lengths_ahead(groups), self.progress.announce),
            lambda arm, error: self.log_error(f"warm-up of {arm}", error),
        )
        if not self.config.synthetic:  # it explains verdicts, and here there are none
            write_width_probe(self.journal.run_dir, self.target, first[0], (k + 1 for k in self.arms.k.values()))
        self.progress.restart()
        unit = 0
        for group in groups:
            conversations = [Conversation(prompt) for prompt in group.prompts]
            for turn in range(group.turns):
                rendered = self.render_turn(conversations, turn)
                for repeat in range(self.config.repeats):
                    self.compare(group, conversations, rendered, turn, repeat, unit)
                    self.watch.check()
                unit += 1
                self.take_answers(conversations, turn)

    def read_clocks(self) -> ClockReading:
        """Between prompts, where a look at the hardware disturbs nothing that is timed."""
        return read_clocks(gpu_name(self.target.device))

    def family(self) -> list[int] | None:
        """The processes that decode; None where they cannot be seen."""
        together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        if together:  # a target that several processes share
            return disturbance.relatives(os.getppid())
        return [os.getpid()]

    def longest(self, prompt: Prompt) -> int:
        """The most tokens that the last turn of `prompt` can have, with answers of full length before it."""
        turns = len(prompt.turns) - 1
        return len(self.chat.render(prompt, [""] * turns).token_ids) + turns * self.config.max_new_tokens

    def lengths_ahead(self, groups: Sequence[Group]) -> list[int]:
        """Tokens of prompts that are not wholly journalled yet, at their first turn: later ones depend on answers."""
        journalled = Counter(key.prompt_id for key in self.done)
        of_one_turn = len(self.names) * self.config.repeats
        prompts = [prompt for group in groups for prompt in group.prompts]
        ahead = [one for one in prompts if journalled[one.prompt_id] < len(one.turns) * of_one_turn]
        return [len(self.chat.render(prompt, []).token_ids) for prompt in ahead]

    # -- one group of prompts ----------------------------------------------------------------------------------------

    def render_turn(self, conversations: list[Conversation], turn: int) -> dict[str, Rendered]:
        """The turn's text for every conversation that is still whole; one that does not fit is marked as broken."""
        rendered: dict[str, Rendered] = {}
        for conversation in conversations:
            if conversation.broken:
                continue
            prompt = conversation.prompt
            try:
                one = self.chat.render(prompt, conversation.answers)
                check_length(len(one.token_ids), self.config.max_new_tokens, self.plan.context, prompt.prompt_id)
                check_prompts([one.token_ids], self.target, self.config.max_new_tokens, 0)
            except InputError as error:
                conversation.broken = f"turn {turn + 1}: {error}"
                continue
            rendered[prompt.prompt_id] = one
        return rendered

    def take_answers(self, conversations: list[Conversation], turn: int) -> None:
        """The baseline's first answer becomes every arm's history."""
        for conversation in conversations:
            if conversation.broken:
                continue
            row = self.journal.rows[GenerationKey(conversation.prompt.prompt_id, turn, BASELINE, 0)]
            if row["status"] == "ok":
                conversation.answers.append(self.chat.history(row["token_ids"], self.target.eos_token_ids))
            else:
                conversation.broken = f"turn {turn + 1} has no baseline answer to go on from"

    def compare(
        self,
        group: Group,
        conversations: list[Conversation],
        rendered: dict[str, Rendered],
        turn: int,
        repeat: int,
        unit: int,
    ) -> None:
        """One turn of a group with every arm that has not been journalled yet, appended together."""

        def key(prompt: Prompt, arm: str) -> GenerationKey:
            return GenerationKey(prompt.prompt_id, turn, arm, repeat)

        pending = [arm for arm in self.order(unit, repeat) if any(key(p, arm) not in self.done for p in group.prompts)]
        finished: list[tuple[GenerationRow, Sequence[Round]]] = []
        whole = [c.prompt for c in conversations if not c.broken]
        tokens = [rendered[prompt.prompt_id].token_ids for prompt in whole]
        clocks = self.clocks or self.read_clocks()
        known = {p.prompt_id: self.journal.rows.get(key(p, BASELINE), {}).get("token_ids") or [] for p in whole}
        for arm in pending:
            self.progress.show(f"{group.prompts[0].prompt_id} {arm}")
            rows = [self.broken_row(c, arm, turn, repeat) for c in conversations if c.broken]
            finished += [(row, ()) for row in rows if row.key not in self.done]
            if whole:
                seed = group.seed(self.config.seed, repeat)
                answers = [known[prompt.prompt_id] for prompt in whole]
                result = self.attempt(arm, tokens, seed, answers)
                for index, prompt in enumerate(whole):
                    row = self.row(prompt, arm, turn, repeat, len(tokens[index]))
                    rounds: Sequence[Round] = ()
                    if isinstance(result, str):
                        row.status, row.error = "error", result
                    else:
                        rounds = self.fill(row, result[index])
                        if arm == BASELINE:
                            known[prompt.prompt_id] = row.token_ids
                    if row.key not in self.done:
                        finished.append((row, rounds))
            self.progress.advance(sum(key(prompt, arm) not in self.done for prompt in group.prompts))
        self.clocks = self.read_clocks()
        for row, _ in finished:
            if row.machine:
                row.machine["clocks"] = [record_of(clocks), record_of(self.clocks)]
        for row, _ in finished:
            if row.status == "ok" and row.arm != BASELINE:
                prompt_ids = rendered[row.prompt_id].token_ids
                row.verdict, row.verdict_detail = self.judge(prompt_ids, known[row.prompt_id], row.token_ids)
        self.score([row for row, _ in finished if row.status == "ok"], whole)
        self.journal.append_all(finished)
        self.done |= {row.key for row, _ in finished}
        for row, rounds in finished:
            self.watch.take(row.arm, rounds)

    def score(self, rows: Sequence[GenerationRow], prompts: Sequence[Prompt]) -> None:
        """Scores the last turns' answers, after every arm has been timed."""
        by_id = {prompt.prompt_id: prompt for prompt in prompts}
        for row in rows:
            prompt = by_id[row.prompt_id]
            if row.turn == len(prompt.turns) - 1:
                try:
                    row.score = self.scorer(prompt, self.chat.answer(row.token_ids))
                except Exception as error:  # what was timed is worth keeping without its score
                    self.log_error(f"scoring {row.arm} on {row.prompt_id}", error)

    def order(self, unit: int, repeat: int) -> list[str]:
        """The counterbalanced order, with an oracle after the baseline that it replays."""
        order = arm_order(self.arms.names, unit, repeat)
        oracles = [arm for arm in order[: order.index(BASELINE)] if self.arms.kind[arm] == "oracle"]
        if not oracles:
            return order
        rest = [arm for arm in order if arm not in oracles]
        after = rest.index(BASELINE) + 1
        return rest[:after] + oracles + rest[after:]

    def attempt(self, arm: str, tokens: list[list[int]], seed: int, answers: list[list[int]]) -> list[Generation] | str:
        """The generations, or what went wrong in one line."""
        before = disturbance.read(self.family())
        try:
            generations = self.arms.decode(arm, tokens, seed, answers)
        except Exception as error:  # any failure of one arm is data
            self.log_error(arm, error)
            message = str(error).strip().splitlines()
            text = f"{type(error).__name__}: {message[0] if message else 'no message'}"
        else:
            threads = torch.get_num_threads() if self.target.device.type == "cpu" else 1
            seen = disturbance.between(before, disturbance.read(self.family()), threads)
            disturbance.note(generations, seen)
            return generations
        # Outside the handler, where the traceback no longer keeps the failed arm's tensors alive.
        self.arms.drop(arm)
        return text

    def log_error(self, what: str, error: Exception) -> None:
        warn(f"{what} failed: {type(error).__name__}: {error}")
        path = Path(self.journal.run_dir / ERROR_LOG)
        with naming(path), path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"--- {what}\n{''.join(traceback.format_exception(error))}\n")

    # -- rows --------------------------------------------------------------------------------------------------------

    def row(self, prompt: Prompt, arm: str, turn: int, repeat: int, prompt_tokens: int = 0) -> GenerationRow:
        row = GenerationRow(prompt.prompt_id, arm, status="error", error="not decoded")
        row.category, row.dataset = prompt.category, self.config.dataset.label
        # The size asked for: a smaller last batch belongs to the same cell of the summary.
        row.repeat, row.turn, row.batch_size = repeat, turn, self.config.batch_size
        row.num_draft_tokens, row.prompt_tokens = self.arms.k[arm], prompt_tokens
        row.engine = self.engine
        return row

    def broken_row(self, conversation: Conversation, arm: str, turn: int, repeat: int) -> GenerationRow:
        row = self.row(conversation.prompt, arm, turn, repeat)
        row.error = conversation.broken
        return row

    def fill(self, row: GenerationRow, generation: Generation) -> Sequence[Round]:
        row.status, row.error = "ok", None
        row.token_ids = list(generation.token_ids)
        row.pieces = token_pieces(self.chat.tokenizer, row.token_ids)
        row.text = self.chat.text(row.token_ids)
        row.thinking_tokens = self.chat.thinking_tokens(row.token_ids)
        row.finish_reason = generation.finish_reason
        row.prefill_s, row.decode_s = generation.prefill_s, generation.decode_s
        row.wall_share_s = generation.wall_share_s
        row.peak_memory_bytes = generation.peak_memory_bytes
        row.engine_counters = generation.engine_counters
        row.taint, row.machine = generation.taint, generation.machine
        return generation.rounds
