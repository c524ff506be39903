"""The doubts about rates: each rests on an exact test with a stated rate of false alarms.

Over few tokens a rate is often all or nothing by chance, and one prompt may honestly be all of one kind. A rate is
therefore doubted only over LEAST_PROMPTS prompts, and only if chance explains the count less often than ERROR_RATE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from drafters.registry import kind_of
from harness.metrics.binomial import at_least, at_most, shares_differ
from harness.metrics.repetition import NGRAM

Severity = Literal["error", "warning", "info"]
Doubt = tuple[str, Severity, str]  # code, severity, message

#: The false alarms of each test, for a rate at the very edge of the honest ones.
ERROR_RATE = 1e-3
LEAST_PROMPTS = 3
#: An honest drafter has one token in a hundred rejected, over prompts that are not all copies.
FULL_RATE = 0.99
#: A drafter that fits has its first draft accepted in a tenth of the rounds; below that, no k gains anything.
LOW_RATE = 0.1
#: Least share of rounds in which a drafter drafts; lookup may find nothing to copy over long stretches.
DRAFTING_RATE = 0.5
QUIET_DRAFTING_RATE = 0.02
#: Random drafts are right more often than this only if the target's vocabulary is degenerate.
RANDOM_RATE = 0.5
#: The embedded target repeats under 2 % of its 8-grams; tables and code repeat some of theirs honestly.
REPEATED_SHARE = 0.1
TRUNCATION_DIFFERENCE = 0.05
#: With thinking at work, at least this share of the outputs thinks.
THINKING_RATE = 0.5
#: The usual faults behind a low acceptance.
FAULTS = (
    "likely reasons: drafts read from the wrong slot or the wrong target layers, another chat template or thinking "
    "mode than in training, or a checkpoint that was trained for another target"
)


def never_drafts(rounds: int, kind: str) -> bool:
    """Whether `rounds` without any draft are more than chance explains."""
    rate = QUIET_DRAFTING_RATE if kind_of(kind).may_be_silent else DRAFTING_RATE
    return at_most(0, rounds, rate) <= ERROR_RATE


def always_right(drafted: int, accepted: int) -> bool:
    """Whether every random draft was accepted, over more drafts than chance explains."""
    return accepted == drafted and at_least(accepted, drafted, RANDOM_RATE) <= ERROR_RATE


def acceptance_doubts(row: Mapping[str, Any], kind: str) -> Iterator[Doubt]:
    """Doubts about a drafter's acceptance, from a row of `cell_metrics` with rounds."""
    drafted, accepted, rounds = int(row["drafted"]), int(row["accepted"]), int(row["rounds"])
    if kind_of(kind).replays:
        yield "synthetic_acceptance", "info", f"{row['arm']} makes its acceptance; it calibrates, it does not compete"
        return
    if not drafted:
        yield from _no_drafts(rounds, kind)
        return
    if row["prompts"] < LEAST_PROMPTS:
        return
    if at_least(accepted, drafted, FULL_RATE) <= ERROR_RATE:
        yield (
            "acceptance_full",
            "error",
            f"{accepted} of {drafted} drafted tokens accepted over {row['prompts']} prompts, more than an honest "
            f"drafter's {FULL_RATE:.0%}; check that no hidden state or position shows the drafter its own answer",
        )
    drafting, first = first_drafts(row)
    if at_most(first, drafting, LOW_RATE) <= ERROR_RATE:
        honest = kind_of(kind).low_because
        severity: Severity = "info" if honest else "warning" if accepted else "error"
        yield (
            "acceptance_low",
            severity,
            f"{row['acceptance_length']:.3f} tokens per round: the first draft was accepted in {first} of {drafting} "
            f"rounds that drafted; {honest or FAULTS}",
        )


def first_drafts(row: Mapping[str, Any]) -> tuple[int, int]:
    """The number of rounds that drafted, and of those whose first draft was accepted."""
    if not len(row["position_rounds"]):
        return 0, 0
    drafting = int(row["position_rounds"][0])
    return drafting, round(row["position_unconditional"][0] * drafting)


def _no_drafts(rounds: int, kind: str) -> Iterator[Doubt]:
    traits = kind_of(kind)
    if traits.may_be_silent:
        because = f", as {traits.low_because}" if traits.low_because else ""
        yield "no_drafts", "info", f"nothing drafted in {rounds} rounds{because}: the baseline's numbers"
    elif never_drafts(rounds, kind):
        yield (
            "no_drafts",
            "error",
            f"nothing drafted in {rounds} rounds: these are the baseline's numbers; is the drafter wired?",
        )


def text_doubts(row: Mapping[str, Any]) -> Iterator[Doubt]:
    """Doubts about the outputs' text: missing thoughts, loops."""
    generations = int(row["generations"])
    if row.get("thinking_tokens") == 0 and at_most(0, generations, THINKING_RATE) <= ERROR_RATE:
        yield (
            "no_thinking",
            "warning",
            f"thinking was on, and none of {generations} outputs holds a thought; was the switch understood?",
        )
    # Neighbouring 8-grams share seven tokens, so only every eighth is evidence of its own.
    repeated, ngrams = (int(row[name]) // NGRAM for name in ("repeated", "ngrams"))
    if at_least(repeated, ngrams, REPEATED_SHARE) <= ERROR_RATE:
        yield (
            "repetition_loop",
            "warning",
            f"{row['repeated_8grams']:.0%} of the 8-grams repeat earlier ones, {row['looping_generations']} outputs "
            "loop; a loop is easy to draft, so speed and acceptance flatter",
        )


def truncation_doubts(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Doubt]:
    """A doubt if an arm's outputs are cut more or less often than the baseline's."""
    counts = [int(one[name]) for one in (row, baseline) for name in ("finish_length", "generations")]
    far = abs(row["truncated_share"] - baseline["truncated_share"]) > TRUNCATION_DIFFERENCE
    if far and shares_differ(*counts) <= ERROR_RATE:
        yield (
            "truncation",
            "warning",
            f"{row['truncated_share']:.0%} of the outputs are cut at the length limit, "
            f"{baseline['truncated_share']:.0%} of the baseline's: the two did not write the same",
        )
