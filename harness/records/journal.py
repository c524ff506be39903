"""The record of a run in progress: appended, synced, and safe to cut off at any moment.

A generation's rounds are appended to `rounds.jsonl` and synced first; its line in `generations.jsonl` follows and is
the commit marker. Both carry one random `commit` word, so readers skip rounds whose generation line was never written.
A last line without its newline was torn by a crash: readers skip it, and it is cut off before anything is appended.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from drafters.errors import InputError
from harness.records.files import GENERATIONS, ROUNDS_JOURNAL, sync_folder
from harness.records.identity import Upgrade, check, claim
from harness.records.journal_files import append_lines, cut_torn_line, open_for_append, open_locked, read_lines
from harness.records.rounds import TAINTS, Round
from harness.vocabulary import ERROR, HARNESS, OK, VERDICTS

STATUSES = (OK, ERROR)
ROUND_COUNTS = ("round", "position", "drafted", "accepted", "emitted")
ROUND_SECONDS = ("draft_s", "verify_s", "other_s")


class GenerationKey(NamedTuple):
    """The fields that make a generation unique within a run."""

    prompt_id: str
    turn: int
    arm: str
    repeat: int


@dataclass(slots=True)
class GenerationRow:
    """One line of `generations.jsonl`: a finished (prompt, turn, arm, repeat), or the error that ended it."""

    prompt_id: str
    arm: str
    category: str | None = None
    repeat: int = 0
    turn: int = 0
    dataset: str | None = None
    batch_size: int = 1
    num_draft_tokens: int = 0
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    pieces: list[str] | None = None  # the text of each token, as the report colours it
    text: str = ""
    finish_reason: str | None = None
    prefill_s: float = 0.0
    decode_s: float = 0.0
    wall_share_s: float | None = None
    peak_memory_bytes: int | None = None
    status: str = OK
    error: str | None = None
    verdict: str | None = None
    verdict_detail: dict[str, Any] | None = None
    score: float | None = None
    engine: str = HARNESS
    engine_counters: dict[str, Any] | None = None  # what another engine counted over this generation alone
    thinking_tokens: int | None = None  # tokens of thought, if thinking was requested
    taint: str | None = None  # a word of TAINTS, "" for none; None if it was not watched for
    machine: dict[str, Any] | None = None  # disturbances meanwhile, from `disturbance.between`
    process: int = 0  # of the fresh processes of a run with restarts

    def __post_init__(self) -> None:
        if not isinstance(self.prompt_id, str) or not isinstance(self.arm, str):
            raise ValueError(f"prompt_id={self.prompt_id!r}, arm={self.arm!r}: expected two strings")
        _check_encodable(self.prompt_id, self.arm)
        self.text, self.error, self.category = (_clean(text) for text in (self.text, self.error, self.category))
        if self.status not in STATUSES:
            raise ValueError(f"status={self.status!r}: expected one of {STATUSES}")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict!r}: expected one of {VERDICTS} or None")
        if self.taint and self.taint not in TAINTS:
            raise ValueError(f"taint={self.taint!r}: expected one of {tuple(TAINTS)}")
        if self.status == OK and not self.token_ids:
            raise ValueError(f"prompt {self.prompt_id}, arm {self.arm}: status ok with no token_ids")

    @property
    def key(self) -> GenerationKey:
        return GenerationKey(self.prompt_id, self.turn, self.arm, self.repeat)


class Journal:
    """An open run directory: its committed generations, and the only way to add more.

    Use it as a context manager. `rows` maps every committed key to its line of `generations.jsonl` as a dictionary.
    Raises InputError if another process is writing there, if the directory belongs to another configuration, or if a
    line before the last cannot be read.
    """

    def __init__(self, run_dir: str | Path, identity: Mapping[str, Any], *, upgrade: Upgrade | None = None) -> None:
        self.run_dir, self.identity, self.upgrade = Path(run_dir), identity, upgrade
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._generations = open_locked(self.run_dir / GENERATIONS)
        try:
            records = (self.run_dir / GENERATIONS).stat().st_size > 0
            self.run_key = claim(self.run_dir, identity, upgrade=upgrade, records=records)
            self._rounds = open_for_append(self.run_dir / ROUNDS_JOURNAL)
        except BaseException:
            self._generations.close()
            raise
        for file in (self._generations, self._rounds):
            cut_torn_line(file)
        sync_folder(self.run_dir)
        self._attempt: int | None = None
        self.rows: dict[GenerationKey, dict[str, Any]] = {
            key_of(line): line for line in read_lines(self.run_dir / GENERATIONS)
        }

    @property
    def attempt(self) -> int:
        """The number of this start among those that decoded something; every line names its own."""
        if self._attempt is None:
            self._attempt = 1 + max((row.get("attempt") or 0 for row in self.rows.values()), default=0)
        return self._attempt

    @property
    def decoded(self) -> bool:
        """Whether this start has added anything."""
        return self._attempt is not None

    def append(self, row: GenerationRow, rounds: Sequence[Round] = ()) -> None:
        """Commit one generation. Raises as `append_all` does."""
        self.append_all([(row, rounds)])

    def append_all(self, finished: Iterable[tuple[GenerationRow, Sequence[Round]]]) -> None:
        """Commit several generations with one sync per file: the arms of a prompt, or the rows of a batch.

        Raises ValueError if the rounds do not account for the tokens (`len(token_ids) == 1 + sum(emitted)`), and
        OSError if the disk refuses; a half-written line is then cut off again.
        """
        round_lines: list[dict[str, Any]] = []
        generation_lines: list[dict[str, Any]] = []
        for row, rounds in finished:
            _check_counts(row, rounds)
            commit = uuid.uuid4().hex[:12]
            if rounds:
                round_lines.append({**row.key._asdict(), "commit": commit, **_columns(rounds)})
            generation_lines.append({**asdict(row), "attempt": self.attempt, "commit": commit})
        append_lines(self._rounds, round_lines)
        append_lines(self._generations, generation_lines)
        self.rows.update((key_of(line), line) for line in generation_lines)

    def absorb(self, folder: Path, prompt_ids: Collection[str]) -> None:
        """Add another journal's generations of these prompts that this one lacks, or holds as an error.

        Raises AnotherRun if the other journal belongs to another run.
        """
        check(folder, self.identity, upgrade=self.upgrade)

        def wanted(line: dict[str, Any]) -> bool:
            mine = self.rows.get(key_of(line))
            return line["prompt_id"] in prompt_ids and (
                mine is None
                or (mine["status"] != OK and line["status"] == OK)
                or (line.get("attempt") or 0) > (mine.get("attempt") or 0)  # decoded again beside a new baseline
            )

        self._copy(folder, [line for line in read_lines(folder / GENERATIONS) if wanted(line)])

    def borrow(self, folder: Path, keys: Collection[GenerationKey], lender: str) -> None:
        """Copy the finished generations `keys` of another run, with their rounds, as `borrowed_from` the `lender`."""
        found = {key_of(line): line for line in read_lines(folder / GENERATIONS)}
        lent = [key for key in keys if key in found and key not in self.rows]
        self._copy(folder, [{**found[key], "borrowed_from": lender} for key in lent])

    def _copy(self, folder: Path, lines: Sequence[dict[str, Any]]) -> None:
        """Commit `lines` of the journal in `folder`, with their rounds."""
        commits = {line["commit"] for line in lines}
        append_lines(self._rounds, [r for r in read_lines(folder / ROUNDS_JOURNAL) if r["commit"] in commits])
        append_lines(self._generations, lines)
        self.rows.update((key_of(line), line) for line in lines)

    def close(self) -> None:
        self._rounds.close()
        self._generations.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def key_of(line: Mapping[str, Any]) -> GenerationKey:
    """The key of one line of either journal file. Raises InputError for a line without one."""
    if "prompt_id" not in line or "arm" not in line:
        raise InputError(f"a line of the journals has {', '.join(line) or 'no key'}: expected prompt_id and arm")
    return GenerationKey(line["prompt_id"], line.get("turn", 0), line["arm"], line.get("repeat", 0))


def _columns(rounds: Sequence[Round]) -> dict[str, list[Any]]:
    counts: dict[str, list[Any]] = {name: [getattr(r, name) for r in rounds] for name in ROUND_COUNTS}
    seconds = {
        name: [None if value is None else round(value, 9) for value in (getattr(r, name) for r in rounds)]
        for name in ROUND_SECONDS
    }
    return counts | seconds


def _check_encodable(*names: str) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name!r}: expected text that UTF-8 can write, it holds half a surrogate pair") from error


def _clean(text: str | None) -> Any:
    """`text` with question marks for half surrogate pairs: byte-level decoding leaves them, UTF-8 cannot write them."""
    return None if text is None else text.encode(errors="replace").decode()


def _check_counts(row: GenerationRow, rounds: Sequence[Round]) -> None:
    if row.status != OK or (row.engine != HARNESS and not rounds):  # an engine may report no rounds
        return
    expected = 1 + sum(r.emitted for r in rounds)
    if len(row.token_ids) != expected:
        raise ValueError(
            f"prompt {row.prompt_id}, arm {row.arm}: {len(row.token_ids)} token_ids, expected {expected} "
            "(one from prefill and what the rounds emitted)"
        )
