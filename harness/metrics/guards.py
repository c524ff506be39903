"""Reasons to doubt a number, found in the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from harness.metrics.cells import CELL
from harness.metrics.evidence import Doubt, Severity, acceptance_doubts, text_doubts, truncation_doubts
from harness.metrics.strength import TOO_GOOD, WEAK
from harness.records.rounds import TAINTS, UNTIMED
from harness.records.taints import FASTEST_STEP_S
from harness.vocabulary import ALL, BASELINE

# The interval exists from 5 prompts on, but below 10 a few odd prompts decide it.
FEW_PROMPTS = 10
UNATTRIBUTED_SHARE = 0.05
#: Fewer rounds than this are mostly the beginning and the end of a decode.
LEAST_ROUNDS = 50
UNEQUAL = "unequal_token_prompts"
WEAK_BASELINE = "weak_baseline"  # the guard of a baseline far from its floor
SYNTHETIC = "synthetic"  # the guard of a run with random weights or assumed acceptance (harness.config.synthetic)


@dataclass(frozen=True, slots=True)
class Guard:
    """One doubt. `error`: the number cannot be used; `warning`: look before quoting it; `info`: good to know."""

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

    `kinds` maps an arm to its drafter's kind if the two names differ.
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
    """Each doubt once, for the head of a report: over `all` if it holds there, else per category.

    Too few prompts are listed over `all` only.
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


def _doubts(row: Mapping[str, Any], baseline: Mapping[str, Any] | None, kind: str) -> Iterator[Doubt]:
    arm = row["arm"]
    yield from _record_doubts(row)
    if not row.get("synthetic"):  # assumed acceptance and meaningless text prove nothing
        if BASELINE not in (arm, kind) and row["rounds"]:
            yield from acceptance_doubts(row, kind)
        yield from text_doubts(row)
    if baseline is not None and arm != BASELINE:
        yield from _paired_doubts(row, baseline)
    yield from _time_doubts(row)
    yield from _floor_doubts(row)


def _record_doubts(row: Mapping[str, Any]) -> Iterator[Doubt]:
    if row["verdict_mismatch"]:
        yield (
            "mismatch",
            "error",
            f"{row['verdict_mismatch']} of {row['generations']} outputs are not the target's: the speed is void",
        )
    if row["errors"]:
        yield (
            "errors",
            "warning",
            f"{row['errors']} of {row['errors'] + row['generations']} generations ended in an error",
        )
    if row.get("unreported"):
        yield (
            "unreported_rounds",
            "info",
            f"the engine did not report how {row['unreported']} of {row['tokens']} tokens were drafted; acceptance "
            "covers the others alone",
        )
    if row["emitted"] + row["generations"] + row.get("unreported", 0) != row["tokens"]:
        yield (
            "inconsistent_records",
            "error",
            f"{row['tokens']} output tokens, but the rounds emitted {row['emitted']} and prefill {row['generations']}",
        )


def _time_doubts(row: Mapping[str, Any]) -> Iterator[Doubt]:
    if row.get("tainted"):
        counts = {word: int(row[f"taint_{word}"]) for word in TAINTS if row.get(f"taint_{word}")}
        said = "; ".join(
            f"{count} {word} ({TAINTS[word]}{', left out of all times' if word in UNTIMED else ''})"
            for word, count in counts.items()
        )
        yield "tainted", "warning", f"{row['tainted']} of {row['generations']} generations have doubtful times: {said}"
    # A round takes at least one step of the target, in every engine.
    timed_rounds = row.get("timed_rounds", row["rounds"])
    if timed_rounds >= LEAST_ROUNDS and row["decode_s"] < timed_rounds * FASTEST_STEP_S:
        yield (
            "impossible_times",
            "error",
            f"{1e6 * row['decode_s'] / timed_rounds:.1f} microseconds per round are less than any target takes: these "
            "are not decode times; does a proxy hold the stream back?",
        )
    # In a batch a row also waits while others are prefilled: the breakdown is not at fault.
    enough = row["batch_size"] == 1 and row["rounds"] >= LEAST_ROUNDS
    if enough and row["unattributed_share"] > UNATTRIBUTED_SHARE:
        yield (
            "unattributed_time",
            "warning",
            f"{row['unattributed_share']:.0%} of the decode time falls in no round; the breakdown misses it",
        )


def _floor_doubts(row: Mapping[str, Any]) -> Iterator[Doubt]:
    strength, floor = row.get("strength"), row.get("floor_ms")
    if strength is None:
        return
    # An unknown one, NaN, is neither below nor above anything.
    if row["arm"] == BASELINE and strength < WEAK:
        yield (
            WEAK_BASELINE,
            "warning",
            f"a decode step takes {floor / strength:.3g} ms, {1 / strength:.1f} times its floor of {floor:.3g} ms on "
            f"this machine (strength {strength:.2g}): speedups over it are those of a slow loop",
        )
    if strength > TOO_GOOD:
        yield (
            "floor_in_doubt",
            "info",
            f"rounds take {1 / strength:.2f} of their floor: the machine's rates were measured while it was busy, and "
            "are measured again once they are removed from the cache (its folder rates)",
        )


def _paired_doubts(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Doubt]:
    yield from truncation_doubts(row, baseline)
    if "paired_prompts" not in row:
        return
    # The join leaves NaN if no prompt is paired at all.
    paired, unequal = (0 if pd.isna(row[name]) else int(row[name]) for name in ("paired_prompts", UNEQUAL))
    if paired < FEW_PROMPTS:
        yield (
            "few_prompts",
            "warning",
            f"only {paired} paired; the interval needs {FEW_PROMPTS} prompts to be trusted",
        )
    if unequal:
        yield (
            "unequal_tokens",
            "info",
            f"{unequal} of {paired} prompts differ in length from the baseline's: compared by time per token",
        )
