"""Stops a run whose numbers are impossible: a drafter that drafts nothing, or random drafts that are all accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drafters.registry import kind_of
from harness.metrics.evidence import always_right, never_drafts
from harness.metrics.summary import overall
from harness.records.rounds import Round
from harness.vocabulary import BASELINE


class GuardError(RuntimeError):
    """The run works mechanically but its numbers cannot be true. The message says what to check."""


class Watch:
    """Counts what each arm drafts and has accepted, while the run goes on.

    `assumed` acceptance proves nothing, however high it is.
    """

    def __init__(self, kinds: Mapping[str, str], *, assumed: bool = False) -> None:
        self.kinds, self.assumed = kinds, assumed
        self.drafted = dict.fromkeys(kinds, 0)
        self.accepted = dict.fromkeys(kinds, 0)
        self.rounds = dict.fromkeys(kinds, 0)

    def take(self, arm: str, rounds: Sequence[Round]) -> None:
        """Add one generation's rounds."""
        self.rounds[arm] += len(rounds)
        self.drafted[arm] += sum(one.drafted for one in rounds)
        self.accepted[arm] += sum(one.accepted for one in rounds)

    def check(self, *, finished: bool = False) -> None:
        """Raise GuardError for a drafter that drafts nothing, or a random one whose every token is accepted."""
        for arm, kind in self.kinds.items():
            drafted, accepted = self.drafted[arm], self.accepted[arm]
            if BASELINE in (arm, kind) or not self.rounds[arm]:
                continue
            silent = not drafted and never_drafts(self.rounds[arm], kind)
            traits = kind_of(kind)
            # Where silence is normal, only a whole run without drafts says anything.
            if silent and (finished or not traits.may_be_silent):
                raise GuardError(
                    f"{arm} drafted 0 tokens in {self.rounds[arm]} rounds, so its numbers are the baseline's: "
                    f"check drafters.{arm}: {traits.if_silent}"
                )
            if not self.assumed and traits.guesses and always_right(drafted, accepted):
                raise GuardError(
                    f"{arm} had all of its {drafted} random tokens accepted: check that the verifier compares drafts "
                    "with the target's own tokens, and that the target's vocabulary is not degenerate"
                )


def check_summary(summary: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """Raise GuardError as `Watch.check` does, over a whole run with its earlier attempts."""
    for row in overall(summary):
        if row["arm"] == BASELINE or not row["rounds"]:
            continue
        watch = Watch({row["arm"]: kinds.get(row["arm"], row["arm"])}, assumed=bool(summary.get("synthetic")))
        watch.rounds[row["arm"]] = row["rounds"]
        watch.drafted[row["arm"]] = round(row["mean_drafted"] * row["rounds"])
        watch.accepted[row["arm"]] = round((row["acceptance_rate"] or 0.0) * watch.drafted[row["arm"]])
        watch.check(finished=True)
