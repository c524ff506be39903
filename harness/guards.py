"""Reasons to doubt a number, found in the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from harness.metrics import ALL, BASELINE, CELL

Severity = Literal["error", "warning", "info"]

# Fewer drafted tokens than this are all accepted or all rejected by chance often enough.
MIN_DRAFTED = 20
# The embedded target repeats under 2 % of its 8-grams; tables and code repeat some of theirs honestly.
REPEATED_SHARE = 0.1
TRUNCATION_DIFFERENCE = 0.05
# The interval exists from 5 prompts on, but below 10 a few odd prompts decide it.
FEW_PROMPTS = 10
UNATTRIBUTED_SHARE = 0.05
SYNTHETIC = "synthetic"  # what a whole run is that made something up (harness.synthetic)
# Drafters whose acceptance is made rather than earned: the oracle replays the answer.
SYNTHETIC_KINDS = ("oracle", "synthetic")


@dataclass(frozen=True, slots=True)
class Guard:
    """One doubt. `error`: the number cannot be used; `warning`: look before you quote it; `info`: know it."""

    code: str
    severity: Severity
    message: str
    dataset: str | None = None
    category: str | None = None
    arm: str | None = None
    num_draft_tokens: int | None = None
    batch_size: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def cell_guards(cells: pd.DataFrame, kinds: Mapping[str, str] | None = None) -> list[list[Guard]]:
    """The guards of each row of `cells` (from `cell_metrics`, with `paired_prompts` joined on when known).

    `kinds` maps an arm to its drafter's kind where the arm is named otherwise.
    """
    rows = [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]
    baselines = {_place(row): row for row in rows if row["arm"] == BASELINE}
    found: list[list[Guard]] = []
    for row in rows:
        arm, baseline = str(row["arm"]), baselines.get(_place(row))
        where = {name: row[name] for name in CELL}
        found.append(
            [
                Guard(code, severity, message, **where)
                for code, severity, message in _doubts(row, baseline, (kinds or {}).get(arm, arm))
            ]
        )
    return found


def worth_listing(found: Sequence[Sequence[Guard]]) -> list[Guard]:
    """Each doubt once for the head of a report: over `all` where it holds there, else per category.

    Too few prompts in a category, where `all` has enough, is not listed.
    """
    everything = [guard for guards in found for guard in guards]
    general = {_subject(guard) for guard in everything if guard.category == ALL}
    return [
        guard
        for guard in everything
        if guard.category == ALL or (_subject(guard) not in general and guard.code != "few_prompts")
    ]


def _place(row: Mapping[str, Any]) -> tuple[object, ...]:
    return row["dataset"], row["category"], row["batch_size"]


def _subject(guard: Guard) -> tuple[object, ...]:
    return guard.code, guard.dataset, guard.arm, guard.num_draft_tokens, guard.batch_size


def _doubts(
    row: Mapping[str, Any], baseline: Mapping[str, Any] | None, kind: str
) -> Iterator[tuple[str, Severity, str]]:  # fmt: skip
    arm = row["arm"]
    if row["verdict_mismatch"]:
        yield (
            "mismatch",
            "error",
            f"{row['verdict_mismatch']} of {row['generations']} outputs are not the target's: its speed is void",
        )
    if row["errors"]:
        yield (
            "errors",
            "warning",
            f"{row['errors']} of {row['errors'] + row['generations']} generations ended in an error",
        )
    if row.get("untold"):
        yield (
            "untold_rounds",
            "info",
            f"the engine did not tell how {row['untold']} of {row['tokens']} tokens were drafted; acceptance is that "
            "of the others",
        )
    if row["emitted"] + row["generations"] + row.get("untold", 0) != row["tokens"]:
        yield (
            "inconsistent_records",
            "error",
            f"{row['tokens']} output tokens, but the rounds emitted {row['emitted']} and prefill {row['generations']}",
        )
    if not row.get("synthetic"):  # nothing follows from an assumed acceptance, nor from nobody's text
        if BASELINE not in (arm, kind) and row["rounds"]:
            yield from _acceptance_doubts(row, kind)
        yield from _text_doubts(row)
    if baseline is not None and arm != BASELINE:
        yield from _paired_doubts(row, baseline)
    # In a batch a row waits while others are prefilled, which is no fault of the breakdown.
    if row["batch_size"] == 1 and row["unattributed_share"] > UNATTRIBUTED_SHARE:
        yield (
            "unattributed_time",
            "warning",
            f"{row['unattributed_share']:.0%} of the decode time falls in no round; the breakdown misses it",
        )


def _text_doubts(row: Mapping[str, Any]) -> Iterator[tuple[str, Severity, str]]:
    if row.get("thinking_tokens") == 0:
        yield (
            "no_thinking",
            "warning",
            f"thinking was on, and none of {row['generations']} outputs holds a thought; was the switch understood?",
        )
    if row["repeated_8grams"] > REPEATED_SHARE:
        yield (
            "repetition_loop",
            "warning",
            f"{row['repeated_8grams']:.0%} of the 8-grams repeat earlier ones, {row['looping_generations']} outputs "
            "loop; a loop is easy to draft, so speed and acceptance flatter",
        )


def _acceptance_doubts(row: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Severity, str]]:
    drafted, accepted = row["drafted"], row["accepted"]
    if kind in SYNTHETIC_KINDS:
        yield "synthetic_acceptance", "info", f"{row['arm']} makes its acceptance; it calibrates, it does not compete"
    elif not drafted:
        yield (
            "no_drafts",
            "error",
            f"nothing drafted in {row['rounds']} rounds: these are the baseline's numbers; is the drafter wired?",
        )
    elif drafted >= MIN_DRAFTED and accepted == drafted:
        yield (
            "acceptance_full",
            "error",
            f"all {drafted} drafted tokens accepted; check that no tap or position shows the drafter its own answer",
        )
    elif drafted >= MIN_DRAFTED and not accepted:
        severity: Severity = "info" if kind == "random" else "error"
        yield (
            "acceptance_zero",
            severity,
            f"none of {drafted} drafted tokens accepted; check taps, positions and that the drafter fits the target",
        )


def _paired_doubts(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[tuple[str, Severity, str]]:
    if abs(row["truncated_share"] - baseline["truncated_share"]) > TRUNCATION_DIFFERENCE:
        yield (
            "truncation",
            "warning",
            f"{row['truncated_share']:.0%} of the outputs are cut at the length limit, "
            f"{baseline['truncated_share']:.0%} of the baseline's: the two did not write the same",
        )
    paired = row.get("paired_prompts")
    if paired is not None and paired < FEW_PROMPTS:
        yield (
            "few_prompts",
            "warning",
            f"only {paired:.0f} paired; the interval needs {FEW_PROMPTS} prompts to be trusted",
        )
    unequal = row.get("unequal_token_prompts")
    if unequal:
        yield (
            "unequal_tokens",
            "info",
            f"{unequal:.0f} of {paired:.0f} prompts differ in length from the baseline's: compared by time per token",
        )
