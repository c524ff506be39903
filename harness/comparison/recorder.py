"""The way from prompts to rows of the journal: turns are rendered, generations become rows, answers become history.

Both comparisons, the harness's own and that with another engine, write through one `Recorder`. It knows no drafter.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drafters.errors import InputError
from harness.comparison.deciding.so_far import SoFar
from harness.comparison.models import TargetFacts
from harness.comparison.schedule import Group
from harness.config import RunConfig
from harness.decoding.api import check_prompts
from harness.records.files import naming
from harness.records.journal import GenerationKey, GenerationRow, Journal
from harness.records.progress import RunProgress, warn
from harness.records.rounds import Generation, Round
from harness.tasks.chat import Chat, Rendered, check_length
from harness.tasks.prompts import Prompt
from harness.tasks.scoring.scorer import Scorer
from harness.tasks.token_texts import token_pieces
from harness.vocabulary import BASELINE

ERROR_LOG = "errors.log"
#: A row and its rounds, as the journal takes them.
Recorded = tuple[GenerationRow, Sequence[Round]]


@dataclass(slots=True)
class Conversation:
    """One prompt on its way through its turns."""

    prompt: Prompt
    answers: list[str] = field(default_factory=list)
    broken: str | None = None  # why later turns cannot be asked


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a group's prompts in one repeat; its arms are decoded and journalled together.

    `rendered` holds the turn by prompt id, without broken conversations. `place` counts turns over the whole run.
    """

    group: Group
    conversations: Sequence[Conversation]
    rendered: Mapping[str, Rendered]
    number: int
    repeat: int
    place: int

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts that can be asked."""
        return [one.prompt for one in self.conversations if not one.broken]

    @property
    def tokens(self) -> list[list[int]]:
        """Token ids of each of `prompts`."""
        return [self.rendered[prompt.prompt_id].token_ids for prompt in self.prompts]

    def key(self, prompt: Prompt, arm: str) -> GenerationKey:
        return GenerationKey(prompt.prompt_id, self.number, arm, self.repeat)


class Recorder:
    """Renders turns and writes rows of one run. `first_turns` are the first turns by prompt id, rendered before."""

    def __init__(
        self,
        config: RunConfig,
        target: TargetFacts,
        chat: Chat,
        first_turns: Mapping[str, Rendered],
        journal: Journal,
        progress: RunProgress,
        process: int = 0,
    ) -> None:
        self.config, self.target, self.chat = config, target, chat
        self.first_turns, self.journal, self.progress = first_turns, journal, progress
        self.process = process
        self.repeats = range(process * config.repeats, (process + 1) * config.repeats)
        self.scorer = Scorer(config.dataset.scorer, config.scoring)
        self.so_far = SoFar()
        self.so_far.take(journal.rows.values())
        self.note()

    # -- prompts -----------------------------------------------------------------------------------------------------

    def longest(self, groups: Iterable[Group]) -> int:
        """The most tokens that any turn can have, with answers of full length before it, within the context."""
        return min(
            max(self._longest(prompt) for group in groups for prompt in group.prompts), self.target.max_positions
        )

    def _longest(self, prompt: Prompt) -> int:
        earlier = len(prompt.turns) - 1
        last = self.chat.render(prompt, [""] * earlier) if earlier else self.first_turns[prompt.prompt_id]
        return len(last.token_ids) + earlier * self.config.max_new_tokens

    def first_tokens(self, group: Group) -> list[list[int]]:
        """Token ids of the first turns of `group`."""
        return [self.first_turns[prompt.prompt_id].token_ids for prompt in group.prompts]

    def lengths_ahead(
        self, groups: Iterable[Group], names: Collection[str], done: Iterable[GenerationKey]
    ) -> list[int]:
        """Tokens of the first turns of prompts that are not wholly `done`; later turns depend on answers."""
        finished = Counter(key.prompt_id for key in done)
        of_one_turn = len(names) * self.config.repeats
        return [
            len(self.first_turns[prompt.prompt_id].token_ids)
            for group in groups
            for prompt in group.prompts
            if finished[prompt.prompt_id] < len(prompt.turns) * of_one_turn
        ]

    def expected(self, groups: Iterable[Group]) -> int:
        """Generations of one arm over `groups`."""
        return sum(group.turns * len(group.prompts) for group in groups) * self.config.repeats

    # -- turns -------------------------------------------------------------------------------------------------------

    def turns(self, groups: Iterable[Group]) -> Iterator[Turn]:
        """Every turn of every group, once for each repeat. The next turn stands on what was journalled meanwhile."""
        place = 0
        for group in groups:
            conversations = [Conversation(prompt) for prompt in group.prompts]
            for number in range(group.turns):
                rendered = self.render_turn(conversations, number)
                for repeat in self.repeats:
                    yield Turn(group, conversations, rendered, number, repeat, place)
                place += 1
                self.take_answers(conversations, number)

    def render_turn(self, conversations: Iterable[Conversation], number: int) -> dict[str, Rendered]:
        """The turn of every conversation that is still whole; one that does not fit is marked as broken."""
        rendered: dict[str, Rendered] = {}
        for conversation in conversations:
            if conversation.broken:
                continue
            prompt = conversation.prompt
            try:
                if number:
                    one = self.chat.render(prompt, conversation.answers)
                    check_length(
                        len(one.token_ids), self.config.max_new_tokens, self.target.max_positions, prompt.prompt_id
                    )
                else:
                    one = self.first_turns[prompt.prompt_id]
                check_prompts([one.token_ids], self.target, self.config.max_new_tokens, 0)
            except InputError as error:
                conversation.broken = f"turn {number + 1}: {error}"
                continue
            rendered[prompt.prompt_id] = one
        return rendered

    def take_answers(self, conversations: Iterable[Conversation], number: int) -> None:
        """Make the baseline's first answer every arm's history."""
        for conversation in conversations:
            if conversation.broken:
                continue
            row = self.journal.rows[GenerationKey(conversation.prompt.prompt_id, number, BASELINE, 0)]
            if row["status"] == "ok":
                conversation.answers.append(self.chat.history(row["token_ids"], self.target.eos_token_ids))
            else:
                conversation.broken = f"turn {number + 1} has no baseline answer to go on from"

    def answers(self, turn: Turn, arm: str) -> dict[str, list[int]]:
        """Journalled token ids of `arm` by prompt id, empty where there are none."""
        rows = {prompt.prompt_id: self.journal.rows.get(turn.key(prompt, arm), {}) for prompt in turn.prompts}
        return {prompt_id: row.get("token_ids") or [] for prompt_id, row in rows.items()}

    # -- rows --------------------------------------------------------------------------------------------------------

    def rows(
        self, turn: Turn, arm: str, result: Sequence[Generation] | str, *, engine: str, num_draft_tokens: int
    ) -> list[Recorded]:
        """One row for each conversation: broken ones, then those of `result`, generations in order or an error."""
        found: list[Recorded] = []
        for conversation in turn.conversations:
            if conversation.broken:
                row = self._row(turn, conversation.prompt, arm, engine, num_draft_tokens)
                row.error = conversation.broken
                found.append((row, ()))
        for index, prompt in enumerate(turn.prompts):
            row = self._row(turn, prompt, arm, engine, num_draft_tokens)
            row.prompt_tokens = len(turn.rendered[prompt.prompt_id].token_ids)
            if isinstance(result, str):
                row.error = result
                found.append((row, ()))
            else:
                self._fill(row, result[index])
                found.append((row, result[index].rounds))
        return found

    def _row(self, turn: Turn, prompt: Prompt, arm: str, engine: str, num_draft_tokens: int) -> GenerationRow:
        row = GenerationRow(prompt.prompt_id, arm, status="error", error="not decoded")
        row.category, row.dataset = prompt.category, self.config.dataset.label
        # The size asked for: a smaller last batch belongs to the same cell of the summary.
        row.process = self.process
        row.repeat, row.turn, row.batch_size = turn.repeat, turn.number, self.config.batch_size
        row.num_draft_tokens, row.prompt_tokens, row.engine = num_draft_tokens, 0, engine
        return row

    def _fill(self, row: GenerationRow, generation: Generation) -> None:
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

    def append(self, finished: Sequence[Recorded]) -> None:
        """Journal a turn's rows, and show the speedups so far: nothing is timed between turns."""
        self.journal.append_all(finished)
        self.so_far.take(self.journal.rows[row.key] for row, _ in finished)
        self.note()

    def note(self) -> None:
        """The speedups so far in the progress line; those at assumed acceptance say so."""
        words = self.so_far.words()
        self.progress.note([f"synthetic: {words[0]}", *words[1:]] if words and self.config.synthetic else words)

    def score(self, rows: Iterable[GenerationRow], prompts: Iterable[Prompt]) -> None:
        """Score the answers to last turns, once every arm has been timed."""
        by_id = {prompt.prompt_id: prompt for prompt in prompts}
        for row in rows:
            prompt = by_id[row.prompt_id]
            if row.turn == len(prompt.turns) - 1:
                try:
                    row.score = self.scorer(prompt, self.chat.answer(row.token_ids))
                except Exception as error:  # what was timed is worth keeping without its score
                    self.log_error(f"scoring {row.arm} on {row.prompt_id}", error)

    def log_error(self, what: str, error: Exception) -> None:
        """Warn, and keep the traceback in `errors.log`."""
        warn(f"{what} failed: {type(error).__name__}: {error}")
        path = Path(self.journal.run_dir / ERROR_LOG)
        with naming(path), path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"--- {what}\n{''.join(traceback.format_exception(error))}\n")
