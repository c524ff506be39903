"""Stops a run whose numbers are impossible: a drafter that drafts nothing, or random drafts that are all accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import GuardError
from harness.metrics.evidence import always_right, never_drafts
from harness.metrics.summary import overall
from harness.records.rounds import Round
from harness.vocabulary import BASELINE

# Lookup drafts nothing where the text does not repeat, so only a whole run without drafts says something.
MAY_STAY_SILENT = ("lookup",)
#: Where a drafter that drafts nothing is to be looked for.
CHECK = (
    "drafters.{arm}: that its checkpoint is the right one, that it is wired to the target, and that its "
    "stop_threshold, where it has one, lets a draft through"
)
CHECKS = {
    "lookup": "drafters.{arm}: that its n-grams are short enough, and that the answers repeat any of their prompts",
    "random": "drafters.{arm}: that it is wired to the target",
}


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
            if silent and (finished or kind not in MAY_STAY_SILENT):
                raise GuardError(
                    f"{arm} drafted 0 tokens in {self.rounds[arm]} rounds, so its numbers are the baseline's: "
                    f"check {CHECKS.get(kind, CHECK).format(arm=arm)}"
                )
            if not self.assumed and kind == "random" and always_right(drafted, accepted):
                raise GuardError(
                    f"{arm} had all of its {drafted} random tokens accepted: check that the verifier compares drafts "
                    "with the target's own tokens, and that the target's vocabulary is not degenerate"
                )


def check_summary(summary: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """The same over a whole run, earlier attempts included. Raises GuardError."""
    for row in overall(summary):
        if row["arm"] == BASELINE or not row["rounds"]:
            continue
        watch = Watch({row["arm"]: kinds.get(row["arm"], row["arm"])}, assumed=bool(summary.get("synthetic")))
        watch.rounds[row["arm"]] = row["rounds"]
        watch.drafted[row["arm"]] = round(row["mean_drafted"] * row["rounds"])
        watch.accepted[row["arm"]] = round((row["acceptance_rate"] or 0.0) * watch.drafted[row["arm"]])
        watch.check(finished=True)
